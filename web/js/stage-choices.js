/** How a person wants to see the others: chosen on the stage, kept in the store, and what is a habit also between visits. */

import { preferences, remember } from "./preferences.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./seating.js").SelfView} SelfView */
/** @typedef {import("./layout.js").Corner} Corner */

/** @type {State["view"][]} */
const VIEWS = ["grid", "speaker"];
/** @type {SelfView[]} */
export const SELF_VIEWS = ["grid", "floating", "hidden"];
/** @type {Corner[]} */
const CORNERS = ["top-start", "top-end", "bottom-start", "bottom-end"];

/** What was chosen on the last visit. @returns {Pick<State, "view" | "selfView" | "selfCorner">} */
export function rememberedChoices() {
  const { view, selfView, selfCorner } = preferences();
  return {
    view: VIEWS.find((each) => each === view) ?? "grid",
    selfView: SELF_VIEWS.find((each) => each === selfView) ?? "",
    selfCorner: CORNERS.find((each) => each === selfCorner) ?? "bottom-end",
  };
}

/** @param {State} state */
function somethingIsShown({ participants, film }) {
  return film !== null || participants.some(({ screen }) => screen);
}

/** Whether all stand at one size now. @param {State} state */
export function showsGrid(state) {
  if (state.pinned) return false;
  return somethingIsShown(state) ? state.screensAside : state.view === "grid";
}

/** The other view. While a screen is shared that is not for keeps: people look at faces for a moment. @param {Store} store */
export function switchView(store) {
  const { state } = store;
  const grid = !showsGrid(state);
  if (somethingIsShown(state)) {
    store.set({ screensAside: grid, pinned: "" });
    return;
  }
  /** @type {State["view"]} */
  const view = grid ? "grid" : "speaker";
  remember({ view });
  store.set({ view, pinned: "", page: 0 });
}

/** Makes this tile large for us, or gives it back its place. @param {Store} store @param {string} key */
export function togglePin(store, key) {
  store.set({ pinned: store.state.pinned === key ? "" : key });
}

/** @param {Store} store @param {SelfView} selfView */
export function chooseSelfView(store, selfView) {
  remember({ selfView });
  store.set({ selfView, pinned: store.state.pinned === "self" && selfView !== "grid" ? "" : store.state.pinned });
}

/** @param {Store} store @param {Corner} selfCorner */
export function moveSelf(store, selfCorner) {
  remember({ selfCorner });
  store.set({ selfCorner });
}
