/** What commands name, by the path of the admin API that they name it in, and where to look it up. */
const NAMED: readonly [path: RegExp, kind: string, look: string][] = [
  [/^\/(?:caegis\/)?users\/([^/?]+)/, 'user', 'caegis user list'],
  [/^\/caegis\/streams\/([^/?]+)/, 'stream', 'caegis stream ls'],
  [/^\/caegis\/sessions\/([^/?]+)/, 'session', 'caegis session list <upn>'],
  [/^\/caegis\/keys\/([^/?]+)/, 'signing key', 'caegis keys ls'],
  [/^\/caegis\/upstreams\/([^/?]+)/, 'upstream', 'caegis upstream list'],
  [/^\/(?:caegis\/)?devices\/([^/?]+)/, 'device', 'caegis device list'],
]

/**
 * Says that there is nothing of the name that somebody typed: Graph has one sentence for all that is not there, and repeats no name.
 * @param path of the call that was answered by 404
 * @param body of that call: what it says of a user, the server looked for on a device
 * @returns `undefined` where the path names nothing
 */
export function sayNotFound(path: string, body: object = {}): string | undefined {
  for (const [pattern, kind, look] of NAMED) {
    const word = path.match(pattern)?.[1]
    if (word === undefined) continue
    const { user } = body as { user?: string }
    const what = `${kind} "${decodeURIComponent(word)}"`
    return `There is no ${user === undefined ? what : `${what} of the user "${user}"`}. To see what there is: ${look}`
  }
  return undefined
}
