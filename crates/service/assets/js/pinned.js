// What this browser keeps of its household: {household, founding, root, demo, seq, head, credential}. trust.js checks against it
// and moves it forward.

const PIN = "nodpay.household";

export function readPin() {
  try {
    return JSON.parse(localStorage.getItem(PIN));
  } catch {
    return null;
  }
}

export function writePin(pin) {
  localStorage.setItem(PIN, JSON.stringify(pin));
}

/** The household is no more. */
export function forgetPin() {
  localStorage.removeItem(PIN);
}
