// A policy in a sentence, in the reader's language, from what the box keeps of it.

import { duration, list, roughly, t, written } from "../i18n.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONDAY = Date.UTC(2026, 0, 5, 12);
const DAY_MS = 86_400_000;
const SHOWN_MAX = 6;

/** All that a protection promises. */
export function describeProtection(protection) {
  const { rpo_s, rto_s, vaults, offsite_rpo_s, drill, blackout } = protection;
  const sentences = [
    t("policy.backup", { when: describeSchedule(protection.schedule) }),
    blackout?.length > 0 && t("policy.blackout", { windows: list(blackout) }),
    rpo_s && t("policy.rpo", { time: roughly(rpo_s) }),
    describeVaults(vaults, offsite_rpo_s),
    drill?.length > 0 && t("policy.drill", { when: describeSchedule(drill) }),
    rto_s && t("policy.rto", { time: roughly(rto_s) }),
  ];
  const joint = t("policy.joint");
  return sentences.filter(Boolean).join(joint) + joint.trim();
}

/** What is kept, as rules: "24 hourly, 30 daily". */
export function describeKept(policy) {
  if (policy.keep_days === "forever") return t("policy.keep.forever");
  const rules = ["last", "hourly", "daily", "weekly", "monthly", "yearly"]
    .filter((rule) => policy[`keep_${rule}`] > 0)
    .map((rule) => t(`policy.keep.${rule}`, { count: policy[`keep_${rule}`] }));
  if (policy.keep_days > 0) rules.push(t("policy.keep.days", { count: policy.keep_days }));
  return t("policy.kept", { rules: list(rules), days: t("unit.days", { count: policy.trash_days }) });
}

function describeVaults(vaults, offsite_rpo_s) {
  if (vaults?.length === 0) return t("policy.no_vault");
  const where = vaults ? t("policy.vaults", { names: list(vaults) }) : t("policy.every_vault");
  return offsite_rpo_s ? t("policy.within", { where, time: roughly(offsite_rpo_s) }) : where;
}

export function describeSchedule(schedule) {
  return schedule?.length ? list(schedule.map(describeSlots)) : t("policy.never");
}

function describeSlots(slots) {
  if (slots.kind === "cron") return describeCron(slots.expression);
  const days = describeDays(slots.weekdays ?? DAYS);
  if (slots.kind === "times") {
    const more = slots.at.length - SHOWN_MAX;
    const times = list(slots.at.slice(0, SHOWN_MAX)) + (more > 0 ? ` +${more}` : "");
    return t("policy.times", { times, days });
  }
  const { every_h = 1, first_h = 0, last_h = 23, minute = 0 } = slots;
  const every = every_h === 1 ? t("policy.every_hour") : t("policy.every_hours", { time: duration(every_h * 3600) });
  if (first_h === 0 && last_h === 23) return t("policy.hourly", { every, days });
  const [first, last] = [first_h, last_h].map((hour) => `${pad(hour)}:${pad(minute)}`);
  return t("policy.hourly_from", { every, first, last, days });
}

/** A day in some months has words; whatever else experts write stands as they wrote it. */
function describeCron(expression) {
  const found = /^(\d+) (\d+) (\d+) ([\d,]+) \*$/.exec(expression);
  if (!found) return t("policy.cron", { expression });
  const [, minute, hour, day, months] = found;
  const names = months.split(",").map((month) => written(Date.UTC(2000, month - 1), { month: "long", timeZone: "UTC" }));
  return t("policy.monthly_at", { time: `${pad(hour)}:${pad(minute)}`, day, months: list(names) });
}

const pad = (value) => String(value).padStart(2, "0");

/** "every day", "Monday to Friday", "Saturday and Sunday". */
function describeDays(weekdays) {
  const numbers = DAYS.flatMap((day, number) => (weekdays.includes(day) ? [number] : []));
  if (numbers.length === DAYS.length) return t("policy.every_day");
  const names = numbers.map((number) => written(MONDAY + number * DAY_MS, { weekday: "long", timeZone: "UTC" }));
  const isRun = numbers.at(-1) - numbers[0] === numbers.length - 1;
  return numbers.length > 2 && isRun ? t("policy.day_to_day", { first: names[0], last: names.at(-1) }) : list(names);
}
