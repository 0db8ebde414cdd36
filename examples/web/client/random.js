/** 192 random bits. */
export const randomKey = () => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(24))));
