/** Access: who may do what, and who did what. */

import { get } from "../api.js";
import { el, put, redraw } from "../dom.js";
import { box, button, facts, when } from "../parts.js";
import { auditLog } from "../access/audit.js";
import { makeToken, tokenTable } from "../access/tokens.js";

export default {
  title: "Access",

  async show({ main, session, signal }) {
    main.classList.add("admin");
    if (session.scope !== "admin") {
      put(main, el("h1", {}, "Access"), own(session), box("note", el("p", {}, "The other tokens and the log of who did what are shown to those whose token has the scope admin.")));
      return;
    }
    const list = el("div", {});
    const heading = el("h1", { tabindex: -1 }, "Access");
    const draw = async () => {
      const { tokens } = await get("api/tokens", { signal });
      redraw(list, tokenTable(tokens, session, draw));
      if (document.activeElement === document.body) heading.focus(); // the button that was pressed is gone
    };
    await draw();
    const log = await auditLog(signal);
    const make = button("Make a token", async () => {
      await makeToken();
      await draw();
    }, { kind: "main", "aria-haspopup": "dialog" });
    put(main,
      heading,
      el("section", { class: "card" },
        el("div", { class: "title" }, el("h2", {}, "Tokens"), make),
        el("p", { class: "hint" }, "A token is what a person or a program shows to be let in. Who holds one with the scope admin holds the cell: it can download every key in it."),
        list),
      log);
  },
};

function own({ name, scope, expires_at: expires }) {
  return el("section", { class: "card" }, el("h2", {}, "You"), facts(["Token", name], ["Scope", `${scope}: looks, and changes nothing`], ["Logged in until", when(expires)]));
}
