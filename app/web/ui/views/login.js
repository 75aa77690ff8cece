/** Asks who is there. */

import { post } from "../api.js";
import { el, put } from "../dom.js";
import { box, field, problemBox } from "../parts.js";

export default {
  title: "Log in",

  /** Ask for the token until it is right, then call `enter` with the session. */
  show({ main, enter, message }) {
    const token = el("input", { type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
    const answer = el("div", {});
    let isAsked = false;
    const send = async (event) => {
      event.preventDefault();
      if (isAsked) return; // a double click would begin two sessions
      isAsked = true;
      put(answer);
      try {
        enter(await post("api/session", { token: token.value.trim() }));
      } catch (error) {
        put(answer, problemBox(error));
        token.select();
      } finally {
        isAsked = false;
      }
    };
    const help = "The first token is the one line of the file api-token in the service's state directory, unless you chose one yourself.";
    const form = el("form", { class: "card login", on: { submit: send } },
      el("h1", {}, "Log in"),
      message ? box("note", el("p", {}, message)) : null,
      field("Token", token, help),
      answer,
      el("button", { type: "submit", class: "main" }, "Log in"));
    put(main, form);
    token.focus();
  },
};
