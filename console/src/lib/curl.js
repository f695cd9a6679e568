// A request as a command for a shell. The key is left to the environment.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function curlCommand(origin, { path, body }) {
  return [
    `curl -N ${quoted(origin + path)}`,
    `-H 'content-type: application/json'`,
    `\${BRISK_API_KEY:+-H "authorization: Bearer $BRISK_API_KEY"}`,
    `-d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}
