const output = { target: "orval/api.ts", client: "fetch", baseUrl: process.env.API };
module.exports = { tasks: { input: process.env.DOCUMENT, output } };
