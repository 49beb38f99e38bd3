// Jobs as a list that moves: pages of the API, with what the events say laid over them.

import { listen } from "../events.js";
import { usePages } from "../resource.js";
import { useEffect, useRef, useState } from "../view.js";

/** `usePages` of jobs. Progress changes rows in place; a new or ended job asks for the list again. */
export function useJobs(query, limit = 50) {
  const pages = usePages("/jobs", { query, limit });
  const [latest, setLatest] = useState({});
  const shown = useRef([]);
  shown.current = pages.items || [];
  useEffect(() => {
    let timer = 0;
    const stop = listen((kind, job) => {
      if (kind !== "again" && (kind !== "job" || !job)) return;
      const known = job && shown.current.find((item) => item.id === job.id);
      if (job) setLatest((old) => ({ ...old, [job.id]: job }));
      if (known && known.state === job.state) return;
      clearTimeout(timer);
      timer = setTimeout(pages.reload, 300);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [pages.reload]);
  const items = pages.items?.map((job) => latest[job.id] || job)
    .filter((job) => !query.state || job.state === query.state);
  return { ...pages, items };
}
