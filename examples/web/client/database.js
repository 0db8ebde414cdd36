const STORES = ["tasks", "changes", "conflicts", "known"];
export const asked = (request) => new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
});
/** An IndexedDB in which every piece of work is one transaction, on the disk when it returns. */
export async function openDatabase(name) {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => {
        const db = opening.result;
        db.createObjectStore("tasks", { keyPath: "id" });
        db.createObjectStore("changes", { keyPath: "number", autoIncrement: true });
        db.createObjectStore("conflicts", { keyPath: "number", autoIncrement: true });
        db.createObjectStore("known");
    };
    const db = await asked(opening);
    db.onversionchange = () => db.close(); // another tab deletes it
    async function transact(mode, work) {
        const transaction = db.transaction(STORES, mode, { durability: "strict" });
        const finished = new Promise((done, failed) => {
            transaction.oncomplete = () => done();
            transaction.onabort = () => failed(transaction.error);
        });
        finished.catch(() => { });
        try {
            const result = await work((store) => transaction.objectStore(store));
            await finished;
            return result;
        }
        catch (error) {
            try {
                transaction.abort();
            }
            catch {
                // it has ended already
            }
            throw error;
        }
    }
    return { transact, close: () => db.close(), remove: () => (db.close(), asked(indexedDB.deleteDatabase(name))) };
}
