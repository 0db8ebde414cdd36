// Links of mails lead to /reset, /verify and /email. They go on to the page with what is behind their #, which no server sees.
const kind = location.pathname.split("/").filter(Boolean).at(-1);
location.replace(`../#${kind}-${location.hash.slice(1)}`);
