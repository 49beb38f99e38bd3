// What the operating system is told of the box: its name, its time, the addresses of its ports.

import { ask, at, get, problemOfJob, run } from "../api.js";
import { duration, has, t } from "../i18n.js";
import { useStore } from "../store.js";
import { html, useCallback, useEffect, useRef, useState } from "../view.js";
import { addressTrial, lookForTrial } from "./address_trial.js";
import { ChoiceField, Form, SelectField, TextField, useForm } from "./form.js";
import { Card } from "./page.js";
import { tell } from "./toast.js";
import { isEnded } from "./progress.js";
import { Notice } from "./trouble.js";

const TRIAL_S = 120; // time to open the box at its new address, and to sign in there
const LOOK_MS = 500;

/** {data, problem, reload} of `box show`; looks again when a trial of addresses is over. */
export function useHost() {
  const isOnTrial = Boolean(useStore(addressTrial));
  const was = useRef(isOnTrial);
  const [state, setState] = useState({ data: null, problem: null });
  const reload = useCallback(async () => {
    try {
      setState({ data: await ask("box show"), problem: null });
    } catch (problem) {
      setState((old) => ({ ...old, problem }));
    }
  }, []);
  useEffect(() => void reload(), []);
  useEffect(() => {
    if (was.current && !isOnTrial) reload();
    was.current = isOnTrial;
  }, [isOnTrial]);
  return { ...state, reload };
}

/** Why the host does not let itself be set. */
function Reason({ obstacle, file }) {
  const key = `host.reason.${obstacle.reason}`;
  return html`<${Notice}>${has(key) ? html`<p>${t(key, { file })}</p>` : html`<p lang="en">${obstacle.text}</p>`}<//>`;
}

const listOf = (text) => text.split(/[\s,;]+/).filter(Boolean);
const remade = (value) => JSON.stringify(value); // as a key: what the box says anew fills a form anew

export function NameCard({ host, reload }) {
  const { now, obstacle } = host.name;
  const form = useForm({ name: "" }, {
    draft: "host.name",
    onSubmit: async (values) => {
      const { name } = await ask("box name", values);
      tell(t("host.name_done", { name }));
      await reload();
    },
  });
  return html`<${Card} title=${t("host.name")}>
    <dl class="facts"><dt>${t("host.name_now")}</dt><dd>${now}</dd></dl>
    ${obstacle
      ? html`<${Reason} obstacle=${obstacle} />`
      : html`<${Form} form=${form} action=${t("host.name_set")} tone="plain" isReady=${Boolean(form.values.name)}>
          <${TextField} form=${form} name="name" label=${t("host.name_new")} hint=${t("host.name_hint")} />
        <//>`}
  <//>`;
}

// ---- time ---------------------------------------------------------------------------------------

const zoneHere = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

function zonesWith(...zones) {
  const known = Intl.supportedValuesOf?.("timeZone") || [];
  return [...new Set([...known, "UTC", ...zones])].sort().map((zone) => [zone, zone]);
}

/** `isFirst`: in the wizard, where the zone of who sits there is the best guess. */
export function TimeCard({ host, reload, isFirst = false }) {
  const { obstacle } = host.time;
  return html`<${Card} title=${t("host.time")}>
    ${obstacle
      ? html`<${Reason} obstacle=${obstacle} />`
      : html`<${TimeForm} key=${remade(host.time)} time=${host.time} reload=${reload} isFirst=${isFirst} />`}
  <//>`;
}

function TimeForm({ time, reload, isFirst }) {
  const servers = time.servers.join(", ");
  const here = zoneHere();
  const form = useForm({ zone: isFirst ? here : time.zone, servers }, {
    onSubmit: async (values) => {
      const wanted = listOf(values.servers);
      await ask("box time", {
        ...(values.zone === time.zone ? {} : { zone: values.zone }),
        ...(wanted.join(", ") === servers ? {} : wanted.length ? { server: wanted } : { default_servers: true }),
      });
      tell(t("host.time_done"));
      await reload();
    },
  });
  const isNew = form.values.zone !== time.zone || listOf(form.values.servers).join(", ") !== servers;
  return html`<${Form} form=${form} action=${t("host.time_set")} tone="plain" isReady=${isNew}>
    <${SelectField} form=${form} name="zone" label=${t("host.zone")} hint=${t("host.zone_hint", { zone: here })}
      options=${zonesWith(time.zone, here)} />
    ${time.server_obstacle
      ? html`<${Reason} obstacle=${time.server_obstacle} />`
      : html`<${TextField} form=${form} name="servers" label=${t("host.servers")} hint=${t("host.servers_hint")} isOptional />`}
  <//>`;
}

// ---- addresses ----------------------------------------------------------------------------------

export function PortCards({ host }) {
  const { ports, obstacle, has_resolver: hasResolver } = host.network;
  return html`
    ${obstacle && html`<${Reason} obstacle=${obstacle} />`}
    ${!obstacle && ports.length === 0 && html`<${Notice}><p>${t("host.no_ports")}</p><//>`}
    ${ports.map((port) => html`<${PortCard} key=${port.name} port=${port} isOff=${Boolean(obstacle)} hasResolver=${hasResolver} />`)}`;
}

function PortCard({ port, isOff, hasResolver }) {
  const trial = useStore(addressTrial);
  const [moved, setMoved] = useState("");
  const link = port.has_link ? "" : ` (${t("host.no_link")})`;
  return html`<${Card} title=${t("host.network", { port: port.name })}>
    <dl class="facts"><dt>${t("host.now")}</dt>
      <dd class="mono">${port.addresses.join(", ") || t("host.no_address")}${link}</dd></dl>
    ${moved && html`<p>${t("host.elsewhere")} <a class="mono" href=${moved}>${moved}</a></p>`}
    ${port.obstacle && !isOff && html`<${Reason} obstacle=${port.obstacle} file=${port.file} />`}
    ${!port.obstacle && !trial && html`<${PortForm} key=${remade(port.wanted)} port=${port} hasResolver=${hasResolver} onTry=${setMoved} />`}
  <//>`;
}

function PortForm({ port, hasResolver, onTry }) {
  const { wanted } = port;
  const form = useForm({
    way: wanted && !wanted.is_dynamic ? "static" : "dhcp",
    address: wanted?.addresses.join(", ") || "",
    gateway: wanted?.gateways.join(", ") || "",
    dns: wanted?.dns.join(", ") || "",
  }, {
    onSubmit: async (values) => {
      const job = await run("box network", argumentsOf(port, values));
      onTry(values.way === "static" ? addressOf(values.address.split("/")[0].trim()) : "");
      await untilTried(job);
    },
  });
  const isFixed = form.values.way === "static";
  return html`<${Form} form=${form} action=${t("host.try")} tone="plain" isReady=${!isFixed || Boolean(form.values.address)}>
    <${ChoiceField} form=${form} name="way" label=${t("host.way")} options=${[
      { value: "dhcp", title: t("host.dhcp"), text: t("host.dhcp_text") },
      { value: "static", title: t("host.static"), text: t("host.static_text") },
    ]} />
    ${isFixed && html`
      <${TextField} form=${form} name="address" label=${t("host.address")} hint=${t("host.address_hint")} />
      <${TextField} form=${form} name="gateway" label=${t("host.gateway")} isOptional />`}
    ${hasResolver && html`<${TextField} form=${form} name="dns" label=${t("host.dns")} hint=${t("host.dns_hint")} isOptional />`}
    <p class="note">${t("host.trial_text", { time: duration(TRIAL_S) })}</p>
  <//>`;
}

function argumentsOf(port, { way, address, gateway, dns }) {
  const fixed = way === "static" ? { address: listOf(address), gateway: listOf(gateway) } : { dhcp: true };
  return { port: port.name, within: TRIAL_S, ...fixed, ...(dns ? { dns: listOf(dns) } : {}) };
}

const addressOf = (host) => `https://${host.includes(":") ? `[${host}]` : host}:${location.port || 443}/`;

/** Until the box tells of the trial, or answers no more where it did; throws why there is none. */
async function untilTried({ id }) {
  for (;;) {
    const job = await get(at`/jobs/${id}`).catch(() => null);
    if (job && isEnded(job) && job.state !== "done") throw problemOfJob(job);
    await lookForTrial();
    if (!job || isEnded(job) || addressTrial.value) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
