import { h } from "./dom.js";
export function handTools() { return { element: h("div"), choose: () => {}, ready: async () => {}, leave: () => {} }; }
