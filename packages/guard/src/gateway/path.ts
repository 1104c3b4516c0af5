/** A path as an application behind a proxy may read it. */
export interface PlainPath {
  /** Segments, decoded once: `/a/` is `['a', '']`. */
  exact: readonly string[]
  /** The same for readers that are not exact: without regard to case, to parameters (`;x=1`), to what nobody sees, to dots and blanks at the end of a segment, to a slash at the end. */
  loose: readonly string[]
}

const LONGEST = 16_384
/** What a request target may hold (RFC 3986 section 3.3 and what browsers leave as it is); a backslash is a slash to some readers, a fragment is never sent. */
const UNPLAIN = /[^\x21-\x7e]|[\\#]/
/** After decoding: what is a separator or ends a string for somebody behind us. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about.
const SEPARATOR = /[/\\\x00-\x1f\x7f-\x9f\u2028\u2029]/
/** Characters that nobody sees, and some readers leave out. */
const UNSEEN = /\p{Default_Ignorable_Code_Point}/gu
/** Would be an escape to whoever decodes twice. */
const TWICE = /%[0-9a-f]{2}/i

/**
 * Takes the path of a request target apart, so that everybody who reads it reads the same. What proxies and applications are known to read differently is refused:
 * dot segments, empty segments, separators and control characters in disguise, escapes of escapes, anything that is not UTF-8.
 */
export function readPath(target: string): PlainPath | undefined {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  if (target.length > LONGEST || path[0] !== '/' || UNPLAIN.test(path)) return undefined
  const exact: string[] = []
  const loose: string[] = []
  const parts = path.slice(1).split('/')
  for (const [index, part] of parts.entries()) {
    const segment = decode(part)
    if (segment === undefined) return undefined
    const folded = fold(segment)
    // Some readers cut `/a/..;/b` and `/a/;/b` before they look for dots and empty segments.
    if (isDots(segment) || isDots(folded) || SEPARATOR.test(folded)) return undefined
    const plain = trimEnd(folded)
    if (plain === '' && (index < parts.length - 1 || folded !== '')) return undefined
    exact.push(segment)
    loose.push(plain)
  }
  if (loose.at(-1) === '') loose.pop()
  return { exact, loose }
}

/** One segment as whoever is not exact compares it. */
export function fold(segment: string): string {
  const end = segment.indexOf(';')
  const plain = (end < 0 ? segment : segment.slice(0, end)).normalize('NFKC').replace(UNSEEN, '')
  return withoutStream(plain).toLowerCase()
}

/** Windows writes the stream of a file, and its kind, behind the name: `admin::$DATA`. Looked for without a pattern, whose work could grow with the square of what it is given. */
function withoutStream(name: string): string {
  const colon = name.indexOf(':')
  return colon >= 0 && name.indexOf('$', colon) >= 0 ? name.slice(0, colon) : name
}

function decode(part: string): string | undefined {
  if (!part.includes('%')) return part
  try {
    const text = decodeURIComponent(part)
    return SEPARATOR.test(text) || TWICE.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

const isDots = (segment: string): boolean => segment === '.' || segment === '..'

/** Windows takes `admin.` and `admin ` for `admin`. */
function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && (text[end - 1] === '.' || text[end - 1] === ' ')) end--
  return text.slice(0, end)
}
