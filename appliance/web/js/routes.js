// Every page: its address, the module with its default component, and the words it needs. One page
// a line; `nav` is the entry of the navigation that is lit while it is shown.

export const ROUTES = [
  { path: "/", nav: "home", words: ["home", "jobs"], load: () => import("./pages/home.js") },
  { path: "/machines", nav: "machines", words: ["machines", "points"], load: () => import("./pages/machines.js") },
  { path: "/machines/:machine", nav: "machines", words: ["machines", "points"], load: () => import("./pages/machine.js") },
  { path: "/protect", nav: "machines", words: ["machines", "points"], load: () => import("./pages/protect.js") },
  { path: "/recover", nav: "recover", words: ["recover", "machines", "points"], load: () => import("./pages/recover.js") },
  { path: "/recover/:machine", nav: "recover", words: ["recover", "machines", "points"], load: () => import("./pages/recover.js") },
  { path: "/files/:machine/:time", nav: "recover", words: ["recover"], load: () => import("./pages/files.js") },
  { path: "/vms/:vm", nav: "recover", words: ["recover"], load: () => import("./pages/vm.js") },
  { path: "/disks", nav: "disks", words: ["disks", "points", "rules"], load: () => import("./pages/disks.js") },
  { path: "/disks/:disk", nav: "disks", words: ["disks", "points", "rules"], load: () => import("./pages/disks.js") },
  { path: "/vault", nav: "vault", words: ["vault", "machines", "points"], load: () => import("./pages/vault.js") },
  { path: "/drills", nav: "drills", words: ["drills", "machines", "points"], load: () => import("./pages/drills.js") },
  { path: "/drills/:drill", nav: "drills", words: ["drills"], load: () => import("./pages/drill.js") },
  { path: "/jobs", nav: "jobs", words: ["jobs"], load: () => import("./pages/jobs.js") },
  { path: "/jobs/:id", nav: "jobs", words: ["jobs"], load: () => import("./pages/job.js") },
  { path: "/findings", nav: "findings", words: ["findings", "rules"], load: () => import("./pages/findings.js") },
  { path: "/settings", nav: "settings", words: ["settings", "notices", "host"], load: () => import("./pages/settings.js") },
  { path: "/settings/:tab", nav: "settings", words: ["settings", "notices", "host"], load: () => import("./pages/settings.js") },
];

// The navigation, from top to bottom. `icon` is a name of components/icon.js.
export const NAVIGATION = [
  { id: "home", path: "/", icon: "home" },
  { id: "machines", path: "/machines", icon: "machines" },
  { id: "recover", path: "/recover", icon: "recover" },
  { id: "disks", path: "/disks", icon: "disks" },
  { id: "vault", path: "/vault", icon: "vault" },
  { id: "drills", path: "/drills", icon: "drills" },
  { id: "jobs", path: "/jobs", icon: "jobs" },
  { id: "findings", path: "/findings", icon: "finding" },
  { id: "settings", path: "/settings", icon: "settings" },
];
