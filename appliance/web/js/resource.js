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

/**
 * A thing of the API: {data, problem, isLoading, reload}. `path` null asks nothing. Old data stays
 * on the screen while new data comes, and when it does not come.
 */
export function useResource(path, { query, on = [] } = {}) {
  const [state, setState] = useState({ data: null, problem: null, isLoading: true });
  const asked = JSON.stringify([path, query]);
  const reload = useCallback(async () => {
    if (path === null) return;
    try {
      const data = await get(path, { query });
      if (current.current === asked) setState({ data, problem: null, isLoading: false });
    } catch (problem) {
      if (current.current === asked) setState((old) => ({ ...old, problem, isLoading: false }));
    }
  }, [asked]);
  const current = useRef(asked);
  useEffect(() => {
    current.current = asked;
    setState((old) => ({ ...old, isLoading: true, problem: null }));
    reload();
    return () => {
      current.current = null;
    };
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
  const asked = JSON.stringify([path, query]);
  const count = useRef(limit);
  const current = useRef(null);
  const reload = useCallback(async () => {
    try {
      const page = await get(path, { query: { ...query, limit: count.current } });
      if (current.current === asked) setState({ ...page, problem: null, isLoading: false });
    } catch (problem) {
      if (current.current === asked) setState((old) => ({ ...old, problem, isLoading: false }));
    }
  }, [asked]);
  const more = async () => {
    setState((old) => ({ ...old, isLoading: true }));
    try {
      const page = await get(path, { query: { ...query, limit, after: state.next } });
      if (current.current !== asked) return;
      setState((old) => {
        const items = [...old.items, ...page.items];
        count.current = Math.min(items.length, 500);
        return { ...old, items, next: page.next, problem: null, isLoading: false };
      });
    } catch (problem) {
      setState((old) => ({ ...old, problem, isLoading: false }));
    }
  };
  useEffect(() => {
    current.current = asked;
    count.current = limit;
    setState((old) => ({ ...old, isLoading: true, problem: null }));
    reload();
    return () => {
      current.current = null;
    };
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
