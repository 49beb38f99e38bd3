// Tables that stay readable on a phone, where each row becomes a block with the columns' names.

import { t } from "../i18n.js";
import { classes, html } from "../view.js";
import { Button } from "./button.js";

/**
 * `columns`: {key, label, cell(row), isHead, isNumber, isWide}. `caption` names the table for who
 * cannot see where it stands. `href(row)` makes the head cell a link.
 */
export function Table({ caption, columns, rows, keyOf = (row) => row.id, href }) {
  return html`<table class="table">
    <caption class="unseen">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.isNumber && "is-number"}>${column.label}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)}>${columns.map((column) => cellOf(column, row, href))}</tr>`)}</tbody>
  </table>`;
}

function cellOf(column, row, href) {
  const inside = column.cell(row);
  const look = classes(column.isNumber && "is-number", column.isWide && "is-wide");
  if (column.isHead) {
    return html`<th scope="row" class=${look} data-label=${column.label}>
      ${href ? html`<a href=${href(row)}>${inside}</a>` : inside}
    </th>`;
  }
  return html`<td class=${look} data-label=${column.label}>${inside}</td>`;
}

/** The button below a list of `usePages`. */
export function More({ pages }) {
  if (!pages.hasMore) return null;
  return html`<div class="more">
    <${Button} icon="down" isBusy=${pages.isLoading} onPress=${pages.more}>${t("action.show_more")}<//>
  </div>`;
}
