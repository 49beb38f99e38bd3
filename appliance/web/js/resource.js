// What a page reads from the server: fetched when shown, again when the server says it changed.

import { get } from "./api.js";
import { listen } from "./events.js";
import { useCallback, useEffect, useRef, useState } from "./view.js";

const SETTLE_MS = 400;

/** Calls `again` soon after an event of one of `kinds`; many events make one call. */
export function useEvents(kinds, again) {
  const names = kinds.join(" ");
  useEffect(() => {
    let timer = 0;
    const stop = listen((kind) => {
      if (kind !== "again" && !names.split(" ").includes(kind)) return;
      clearTimeout(timer);
      timer = setTimeout(again, SETTLE_MS);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [names, again]);
}

/** Answers may overtake each other: an older one never covers a newer one. */
class Turns {
  #asked = 0;
  #shown = 0;

  /** A question is asked; gives the function that says whether its answer is still to be shown. */
  begin() {
    this.#asked += 1;
    const turn = this.#asked;
    return () => {
      if (turn < this.#shown) return false;
      this.#shown = turn;
      return true;
    };
  }

  /** Nothing that was asked before is to be shown. */
  drop() {
    this.#asked += 1;
    this.#shown = this.#asked;
  }
}

export const useTurns = () => useState(() => new Turns())[0];

/**
 * A thing of the API: {data, problem, isLoading, reload}. `path` null asks nothing. Old data stays
 * on the screen while new data comes, and when it does not come.
 */
export function useResource(path, { query, on = [] } = {}) {
  const [state, setState] = useState({ data: null, problem: null, isLoading: true });
  const turns = useTurns();
  const reload = useCallback(async () => {
    if (path === null) return;
    const isShown = turns.begin();
    try {
      const data = await get(path, { query });
      if (isShown()) setState({ data, problem: null, isLoading: false });
    } catch (problem) {
      if (isShown()) setState((old) => ({ ...old, problem, isLoading: false }));
    }
  }, [JSON.stringify([path, query])]);
  useEffect(() => {
    setState((old) => ({ ...old, isLoading: true, problem: null }));
    reload();
    return () => turns.drop();
  }, [reload]);
  useEvents(on, reload);
  return { ...state, reload };
}

/**
 * A list of the API by keyset pages: {items, problem, isLoading, hasMore, more, reload}. A reload
 * asks for as much as is shown.
 */
export function usePages(path, { query = {}, on = [], limit = 50 } = {}) {
  const [state, setState] = useState({ items: null, next: null, problem: null, isLoading: true });
  const count = useRef(limit);
  const turns = useTurns();
  const reload = useCallback(async () => {
    const isShown = turns.begin();
    try {
      const page = await get(path, { query: { ...query, limit: count.current } });
      if (isShown()) setState({ ...page, problem: null, isLoading: false });
    } catch (problem) {
      if (isShown()) setState((old) => ({ ...old, problem, isLoading: false }));
    }
  }, [JSON.stringify([path, query])]);
  const more = async () => {
    const isShown = turns.begin();
    count.current = Math.min(count.current + limit, 500);
    setState((old) => ({ ...old, isLoading: true }));
    try {
      const page = await get(path, { query: { ...query, limit, after: state.next } });
      if (!isShown()) return;
      setState((old) => (
        { items: [...old.items, ...page.items], next: page.next, problem: null, isLoading: false }
      ));
    } catch (problem) {
      if (isShown()) setState((old) => ({ ...old, problem, isLoading: false }));
    }
  };
  useEffect(() => {
    count.current = limit;
    setState((old) => ({ ...old, isLoading: true, problem: null }));
    reload();
    return () => turns.drop();
  }, [reload]);
  useEvents(on, reload);
  return { ...state, hasMore: Boolean(state.next), more, reload };
}

/** Now, renewed every `seconds`: for "14 minutes ago". */
export function useNow(seconds = 30) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return now;
}
