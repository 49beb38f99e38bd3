// All points of one machine, however many: page after page, shown as they come.

import { useCallback, useEffect, useRef, useState } from "../view.js";
import { at, get } from "../api.js";
import { useEvents } from "../resource.js";

const PAGE = 1000;
const NOT_FOUND = 404;

/** {points (oldest first), places (lanes of the timeline), isLoading, problem, reload}. */
export function usePoints(machine) {
  const [state, setState] = useState({ points: [], isLoading: true, problem: null });
  const [turn, setTurn] = useState(0);
  const latest = useRef(0);
  useEffect(() => {
    const mine = ++latest.current;
    const tell = (value) => mine === latest.current && setState(value);
    load(machine, tell).catch((problem) =>
      // A machine whose first backup has just ended is known a moment later, and an event says so.
      tell({ points: [], isLoading: false, problem: problem.status === NOT_FOUND ? null : problem }),
    );
    return () => {
      latest.current += 1;
    };
  }, [machine, turn]);
  const reload = useCallback(() => setTurn((count) => count + 1), []);
  useEvents(["machine"], reload);
  return { ...state, places: listPlaces(state.points), reload };
}

async function load(machine, tell) {
  const points = [];
  let after = null;
  do {
    const page = await get(at`/machines/${machine}/points`, { query: { limit: PAGE, after } });
    points.push(...page.items);
    after = page.next;
    const sorted = [...points].sort((one, other) => (one.time < other.time ? -1 : 1));
    tell({ points: sorted, isLoading: Boolean(after), problem: null });
  } while (after);
}

/** The box first, then vaults by name. */
function listPlaces(points) {
  const places = new Set(["box"]);
  for (const point of points) for (const place of point.where) places.add(place);
  return [...places].sort((one, other) => (one === "box" ? -1 : other === "box" ? 1 : one < other ? -1 : 1));
}
