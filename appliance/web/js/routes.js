// Every page: its address, the module with its default component, and the words it needs. One page
// a line; `nav` is the entry of the navigation that is lit while it is shown.

export const ROUTES = [
  { path: "/", nav: "home", words: ["home", "jobs"], load: () => import("./pages/home.js") },
  { path: "/jobs", nav: "jobs", words: ["jobs"], load: () => import("./pages/jobs.js") },
  { path: "/jobs/:id", nav: "jobs", words: ["jobs"], load: () => import("./pages/job.js") },
  { path: "/findings", nav: "findings", words: ["findings"], load: () => import("./pages/findings.js") },
  { path: "/settings", nav: "settings", words: ["settings"], load: () => import("./pages/settings.js") },
  { path: "/settings/:tab", nav: "settings", words: ["settings"], load: () => import("./pages/settings.js") },
];

// The navigation, from top to bottom. `icon` is a name of components/icon.js.
export const NAVIGATION = [
  { id: "home", path: "/", icon: "home" },
  { id: "jobs", path: "/jobs", icon: "jobs" },
  { id: "findings", path: "/findings", icon: "finding" },
  { id: "settings", path: "/settings", icon: "settings" },
];
