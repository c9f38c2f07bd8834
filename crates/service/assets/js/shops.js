// Where the household bought lately. The service keeps the shops' certificates; one that does not verify names no shop.
//
// `ctx` is what app.js lends: {state}.

import { get } from "./api.js";
import { VerifyError } from "./messages.js";
import { verifyMerchantCertificate } from "./verify.js";

/** Fetches them for the whole app, by id: what the operator vouched for. */
export async function loadShops({ state }) {
  const { certificates } = await get("/api/guardian/shops");
  for (const wire of certificates) {
    try {
      const { payload } = await verifyMerchantCertificate(wire, state.home.trust.root);
      state.shops.set(payload.merchant, payload);
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
    }
  }
}
