/** The UUID of version 5, as the service makes a task's id of its owner and key; it works where `crypto.subtle` is not. */
export function uuid5(namespace, name) {
    const space = namespace.replace(/-/g, "").match(/../g).map((hex) => parseInt(hex, 16));
    const words = sha1([...space, ...new TextEncoder().encode(name)]);
    words[1] = (words[1] & 0xffff0fff) | 0x5000;
    words[2] = (words[2] & 0x3fffffff) | 0x80000000;
    const hex = words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
    return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
/** The five words of SHA-1 (RFC 3174). */
function sha1(bytes) {
    const length = bytes.length;
    const padded = [...bytes, 0x80];
    while (padded.length % 64 !== 56)
        padded.push(0);
    padded.push(0, 0, 0, 0, length >>> 21, (length >>> 13) & 255, (length >>> 5) & 255, (length << 3) & 255);
    const turned = (word, by) => (word << by) | (word >>> (32 - by));
    const hash = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    for (let at = 0; at < padded.length; at += 64) {
        const w = [];
        let [a, b, c, d, e] = hash;
        for (let t = 0; t < 80; t++) {
            const i = at + 4 * t;
            w[t] =
                t < 16
                    ? (padded[i] << 24) | (padded[i + 1] << 16) | (padded[i + 2] << 8) | padded[i + 3]
                    : turned(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
            const [mix, constant] = t < 20
                ? [(b & c) | (~b & d), 0x5a827999]
                : t < 40
                    ? [b ^ c ^ d, 0x6ed9eba1]
                    : t < 60
                        ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
                        : [b ^ c ^ d, 0xca62c1d6];
            [a, b, c, d, e] = [(turned(a, 5) + mix + e + constant + w[t]) | 0, a, turned(b, 30), c, d];
        }
        [a, b, c, d, e].forEach((word, i) => (hash[i] = (hash[i] + word) | 0));
    }
    return hash;
}
