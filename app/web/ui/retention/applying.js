/** The dialogue that removes what the rules do not keep. */

import { post } from "../api.js";
import { el } from "../dom.js";
import { bytes, count } from "../format.js";
import { dialogue, field, form } from "../parts.js";
import { heldBox } from "./preview.js";

/** Ask whether to apply the policy that holds, and begin the job; gives it, undefined where nobody wants to. */
export function applyPolicy({ removed, freed, held }) {
  const what = `${count(removed, "backup")} (${bytes(freed)}) ${removed === 1 ? "is" : "are"} removed from the disk for good. The rules decide anew when the job runs, so what has changed until then counts.`;
  return dialogue("Remove what the rules do not keep?", ({ close }) => {
    const despite = el("input", { type: "checkbox", required: true });
    const odd = held ? [heldBox(held, "So nothing is removed, unless you say so here."), field("Remove them all the same", despite)] : null;
    const send = async () => close(await post("api/retention/apply", { despite_anomaly: Boolean(held) && despite.checked }));
    return form([el("p", {}, what), odd], "Remove them", send, { cancel: () => close(), kind: "bad" });
  });
}
