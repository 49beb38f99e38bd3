// What a quick verb answers, as a resource: for what the box knows but has no address for.

import { ask } from "./api.js";
import { useEvents } from "./resource.js";
import { useCallback, useEffect, useRef, useState } from "./view.js";

/** {data, problem, isLoading, reload} of `ask(verb, values)`; asked again on events of `on`. */
export function useAnswer(verb, values = {}, { on = [] } = {}) {
  const [state, setState] = useState({ data: null, problem: null, isLoading: true });
  const asked = JSON.stringify([verb, values]);
  const current = useRef(null);
  const reload = useCallback(async () => {
    const tell = (news) => current.current === asked && setState((old) => ({ ...old, ...news, isLoading: false }));
    try {
      tell({ data: await ask(verb, values), problem: null });
    } catch (problem) {
      tell({ problem });
    }
  }, [asked]);
  useEffect(() => {
    current.current = asked;
    reload();
    return () => {
      current.current = null;
    };
  }, [reload]);
  useEvents(on, reload);
  return { ...state, reload };
}
