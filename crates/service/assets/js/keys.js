// Keys this browser holds, in IndexedDB, as WebCrypto keys that no script can read out: the till's signing key and the
// demo's software passkeys. Never does: sending, signing, deciding.

const DATABASE = "nodpay";
const STORE = "keys";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within(mode, action) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = action(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** What was put under `name`, or undefined. */
export const getKey = (name) => within("readonly", (store) => store.get(name));

export const putKey = (name, value) => within("readwrite", (store) => store.put(value, name));

/** All names that start with `prefix`. */
export const keyNames = (prefix) =>
  within("readonly", (store) => store.getAllKeys(IDBKeyRange.bound(prefix, `${prefix}\uffff`)));
