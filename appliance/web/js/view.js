// What pages are written in: `html` templates over Preact. The one place that names the libraries.

import { h, render, Fragment, createContext } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { render, Fragment, createContext };
export {
  useState,
  useEffect,
  useLayoutEffect,
  useRef,
  useMemo,
  useCallback,
  useContext,
  useId,
} from "../vendor/preact-hooks.js";

export const html = htm.bind(h);

/** Class names that apply: `classes("a", isB && "b")`. */
export const classes = (...names) => names.filter(Boolean).join(" ");
