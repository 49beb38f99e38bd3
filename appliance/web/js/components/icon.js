// Pictures of one line weight, drawn on a grid of 20. They say nothing alone: words stand beside.

import { html } from "../view.js";

const PATHS = {
  home: "M3 9.5 10 3.5l7 6M5 8.5V16.5h10V8.5M8.5 16.5v-4.5h3v4.5",
  machines: "M3.5 4h13v5h-13zM3.5 11h13v5h-13zM6.5 6.5h.01M6.5 13.5h.01M9.5 6.5h4M9.5 13.5h4",
  recover: "M4 4v4h4M4.4 8A6.5 6.5 0 1 1 3.5 11.5M10 7v4l2.5 1.5",
  disks: "M4 5.5c0-1.4 2.7-2.5 6-2.5s6 1.1 6 2.5-2.7 2.5-6 2.5-6-1.1-6-2.5zM4 5.5v9c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5v-9M4 10c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5",
  vault: "M6 15.5a3.5 3.5 0 0 1-.4-7A5 5 0 0 1 15.2 9.7 3 3 0 0 1 14.5 15.5zM10 13.5v-4M8.3 11 10 9.3l1.7 1.7",
  drills: "M10 3a7 7 0 1 0 7 7M10 6.5a3.5 3.5 0 1 0 3.5 3.5M10 10l5.5-5.5M13.5 4.5v2h2l1.5-1.5",
  jobs: "M3 10h3l2-5.5 4 11 2-5.5h3",
  finding: "M5 17V3.5M5 4.5h9.5L12.5 8l2 3.5H5",
  settings: "M3.5 6h7M14.5 6h2M3.5 14h2M9.5 14h7M12.5 4a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM7.5 12a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  user: "M10 10a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4zM4 17c.5-3 2.9-4.5 6-4.5s5.5 1.5 6 4.5",
  menu: "M3.5 5.5h13M3.5 10h13M3.5 14.5h13",
  close: "M5 5l10 10M15 5 5 15",
  next: "M8 5l5 5-5 5",
  back: "M12 5l-5 5 5 5",
  down: "M5 8l5 5 5-5",
  up: "M5 12l5-5 5 5",
  add: "M10 4v12M4 10h12",
  play: "M6.5 4.5v11l9-5.5z",
  stop: "M5.5 5.5h9v9h-9z",
  retry: "M16 4v4h-4M15.6 8A6.5 6.5 0 1 0 16.5 11.5",
  copy: "M7 7h9v9H7zM13 7V4H4v9h3",
  print: "M6 8V3.5h8V8M6 14H3.5V8h13v6H14M6 12h8v5H6z",
  download: "M10 3.5v9M6.5 9.5 10 13l3.5-3.5M4 16.5h12",
  upload: "M10 13V4M6.5 7.5 10 4l3.5 3.5M4 16.5h12",
  key: "M7 13a3.5 3.5 0 1 1 3.3-4.7H17v3h-2v2h-2.5v-2h-2.2A3.5 3.5 0 0 1 7 13zM6.8 9.5h.01",
  lock: "M5 9h10v7.5H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  unlock: "M5 9h10v7.5H5zM7 9V6a3 3 0 0 1 5.8-1",
  folder: "M3 5.5h5l1.5 2H17v8.5H3z",
  file: "M5.5 3h6l3 3v11h-9zM11.5 3v3h3",
  screen: "M3 4.5h14v9H3zM7.5 16.5h5M10 13.5v3",
  light: "M10 3a4.5 4.5 0 0 0-2.5 8.2V13.5h5v-2.3A4.5 4.5 0 0 0 10 3zM8 16.5h4",
  search: "M9 14a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM12.7 12.7 17 17",
  globe: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM3 10h14M10 3c-4 4.5-4 9.5 0 14 4-4.5 4-9.5 0-14z",
  box: "M3 6.5h14v7H3zM6 10h.01M9 10h5",
  shield: "M10 3l6 2v4.5c0 3.7-2.5 6.2-6 7.5-3.5-1.3-6-3.8-6-7.5V5z",
  link: "M8.5 11.5l3-3M9.5 6.5l1.3-1.3a2.8 2.8 0 0 1 4 4L13.5 10.5M10.5 13.5l-1.3 1.3a2.8 2.8 0 0 1-4-4L6.5 9.5",
  keyboard: "M3 5.5h14v9H3zM6 8.5h.01M9 8.5h.01M12 8.5h.01M14.5 8.5h.01M6.5 11.5h7",
  expand: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4",
  replace: "M4 7.5h11M12 4.5l3 3-3 3M16 12.5H5M8 9.5l-3 3 3 3",
  calendar: "M4 5h12v11.5H4zM4 8.5h12M7 3.5v3M13 3.5v3",
  report: "M5 3h7l3 3v11H5zM8 9h4M8 12h4",
  // States: shape and colour both say it.
  good: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM6.5 10.2l2.4 2.4 4.6-5",
  warn: "M10 3 18 17H2zM10 8v4M10 14.5h.01",
  bad: "M6.8 2.5h6.4l4.3 4.3v6.4l-4.3 4.3H6.8l-4.3-4.3V6.8zM7.3 7.3l5.4 5.4M12.7 7.3l-5.4 5.4",
  late: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 5.8V10l3 2",
  busy: "M10 2.5a7.5 7.5 0 1 1-7.5 7.5M10 6a4 4 0 1 1-4 4",
  idle: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM6.5 10h7",
  paused: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM8 7v6M12 7v6",
  info: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM10 9.5V14M10 6.3h.01",
  unknown: "M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM7.8 8a2.2 2.2 0 1 1 3 2c-.6.3-.8.7-.8 1.5M10 14h.01",
};

/** A decoration: screen readers pass over it. */
export function Icon({ name, size = 18 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
    <path d=${PATHS[name] || PATHS.unknown} />
  </svg>`;
}
