module.exports = { input: process.env.DOCUMENT, output: { path: "hey", importFileExtension: ".js" } };
