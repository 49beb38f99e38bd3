// The state of a small form whose words say what will happen while they are chosen.

import { useState } from "../view.js";

/** What the fields of form.js need, without a submission of its own: {values, set, problem}. */
export function useOrder(first) {
  const [values, setValues] = useState(first);
  const set = (name, value) => setValues((old) => ({ ...old, [name]: value }));
  return { values, set, problem: null };
}

/** `values` without what was left empty: the box has its own defaults. */
export function withoutEmpty(values) {
  const given = Object.entries(values).filter(
    ([, value]) => value !== "" && value !== null && value !== undefined && value !== false,
  );
  return Object.fromEntries(given);
}
