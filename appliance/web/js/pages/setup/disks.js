// The disks of the box, and an array of those that are empty.

import { run, settle } from "../../api.js";
import { size, t } from "../../i18n.js";
import { useResource } from "../../resource.js";
import { html, useState } from "../../view.js";
import { Button } from "../../components/button.js";
import { Consequences } from "../../components/consequences.js";
import { confirmFirst } from "../../components/dialog.js";
import { JobProgress } from "../../components/progress.js";
import { State } from "../../components/state.js";
import { Table } from "../../components/table.js";
import { Loading, Notice, Trouble } from "../../components/trouble.js";
import { HostWord } from "./host.js";
import { Step } from "./step.js";

const isEmpty = (disk) => disk.uses.length === 0 && disk.partitions.length === 0 && !disk.hidden;

export function Disks({ next, back }) {
  const disks = useResource("/disks", { on: ["box", "finding"] });
  const arrays = useResource("/arrays", { on: ["box", "finding"] });
  const items = disks.data?.items || [];
  const empty = items.filter(isEmpty);
  const made = arrays.data?.items || [];
  const columns = [
    { label: t("setup.disk"), isHead: true, cell: (disk) => disk.name },
    { label: t("setup.bay"), cell: (disk) => disk.bay || "–" },
    { label: t("setup.model"), cell: (disk) => disk.model || "–" },
    { label: t("setup.size"), isNumber: true, cell: (disk) => size(disk.size_bytes) },
    { label: t("setup.used_for"), cell: (disk) => (isEmpty(disk) ? t("setup.empty_disk") : disk.uses.map((use) => use.name).join(", ") || t("setup.partitions")) },
    { label: t("setup.health"), cell: (disk) => html`<${State} name=${disk.verdict === "notice" ? "info" : disk.verdict} />` },
  ];
  return html`<${Step} name="disks" next=${next} back=${back}>
    <${Loading} resource=${disks}>
      ${disks.data && !disks.data.as_of && html`<${Notice}><p>${t("setup.disks_looking")}</p><//>`}
      ${items.length > 0 && html`<${Table} caption=${t("nav.disks")} columns=${columns} rows=${items} keyOf=${(disk) => disk.name} />`}
      ${disks.data?.as_of && items.length === 0 && html`<${Notice}><p>${t("setup.no_disks")}</p><//>`}
      ${made.length > 0 && html`<${Notice} tone="good"><p>${t("setup.has_arrays", { names: made.map((one) => `${one.name} (${one.level})`).join(", ") })}</p><//>`}
      ${disks.data?.as_of && (empty.length >= 2
        ? html`<${MakeArray} disks=${empty} onMade=${arrays.reload} />`
        : html`<${Notice} title=${t("setup.no_spare_title")}><p>${t("setup.no_spare")}</p><//>`)}
      ${empty.length >= 2 && html`<${HostWord} name="disks" />`}
    <//>
  <//>`;
}

/** The box chooses disks and layout; nothing is written before the plan was seen and agreed to. */
function MakeArray({ disks, onMade }) {
  const [plan, setPlan] = useState(null);
  const [job, setJob] = useState(null);
  const [problem, setProblem] = useState(null);
  const attempt = (action) => async () => {
    setProblem(null);
    await action().catch(setProblem);
  };
  const look = () => settle("array create");
  const propose = attempt(async () => setPlan(await look()));
  const carryOut = attempt(async () => {
    const isAgreed = await confirmFirst({
      title: t("setup.array_title"), body: t("setup.array_body", { disks: plan.disks.join(", ") }),
      action: t("setup.array_make"), tone: "danger",
    });
    if (!isAgreed) return;
    // A disk that was plugged in meanwhile makes another plan, and nobody has agreed to that one.
    const now = await look();
    if (JSON.stringify(now) === JSON.stringify(plan)) setJob((await run("array create", { yes: true })).id);
    else setPlan(now);
  });
  return html`<section class="card">
    <h2>${t("setup.array")}</h2>
    <p>${t("setup.array_text", { count: disks.length })}</p>
    <${Trouble} problem=${problem} />
    ${plan && html`<div lang="en" class="stack">
      <${Consequences} title=${plan.title} items=${plan.steps.map((step) => step.text)} />
      ${plan.warnings.map((text) => html`<${Notice} tone="warn"><p>${text}</p><//>`)}
    </div>`}
    ${job
      ? html`<${JobProgress} id=${job} onEnd=${onMade} />`
      : html`<div class="actions">${plan
          ? html`<${Button} tone="danger" onPress=${carryOut}>${t("setup.array_make")}<//>`
          : html`<${Button} onPress=${propose}>${t("setup.array_propose")}<//>`}</div>`}
  </section>`;
}
