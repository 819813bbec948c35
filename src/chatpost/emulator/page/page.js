"use strict";
// The server escapes everything that it renders. Details that were open stay open.
const spaces = document.getElementById("spaces");
const state = document.getElementById("state");

async function update() {
  const open = [...document.querySelectorAll("details[open]")].map((details) => details.id);
  const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
  spaces.innerHTML = await (await fetch("/spaces")).text();
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (atEnd) window.scrollTo(0, document.body.scrollHeight);
}

const events = new EventSource("/events");
events.onopen = () => { state.textContent = "live"; };
events.onerror = () => { state.textContent = "the emulator has stopped"; };
events.onmessage = update;
