// What a quick verb answers, as a resource: for what the box knows but has no address for.

import { ask } from "./api.js";
import { useEvents, useTurns } from "./resource.js";
import { useCallback, useEffect, useState } from "./view.js";

/** {data, problem, isLoading, reload} of `ask(verb, values)`; asked again on events of `on`. */
export function useAnswer(verb, values = {}, { on = [] } = {}) {
  const [state, setState] = useState({ data: null, problem: null, isLoading: true });
  const turns = useTurns();
  const reload = useCallback(async () => {
    const isShown = turns.begin();
    const tell = (news) => isShown() && setState((old) => ({ ...old, ...news, isLoading: false }));
    try {
      tell({ data: await ask(verb, values), problem: null });
    } catch (problem) {
      tell({ problem });
    }
  }, [JSON.stringify([verb, values])]);
  useEffect(() => {
    reload();
    return () => turns.drop();
  }, [reload]);
  useEvents(on, reload);
  return { ...state, reload };
}
