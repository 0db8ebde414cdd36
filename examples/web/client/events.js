/** The events of a stream, as HTML's "server-sent events" says; `onRetry` hears how many milliseconds to wait after it. */
export async function* eventsOf(body, onBytes, onRetry) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    let fields = {};
    for (;;) {
        const { done, value } = await reader.read();
        if (done)
            return; // an event without its empty line was cut
        onBytes();
        const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
        rest = lines.pop();
        for (const line of lines) {
            const [, name, text] = /^([^:]*):? ?(.*)$/s.exec(line); // a title may hold U+2028
            if (name === "retry")
                onRetry(Number(text));
            if (name)
                fields[name] = name === "data" && fields["data"] ? `${fields["data"]}\n${text}` : text;
            if (line)
                continue; // the empty one ends an event
            const { id = null, event = "message", data } = fields;
            fields = {};
            if (data !== undefined)
                yield { id, event, data };
        }
    }
}
