import type { Requirement } from '../needs.ts'
import { fold, type PlainPath, readPath } from './path.ts'

/** What a route asks: nothing at all, or a good token, and that it says this much. */
export type RouteRequirement = { readonly public: true } | (Requirement & { readonly public?: false })

/** From `/files/*`, `/admin/**` or `GET,HEAD /files/**` to what is asked there. */
export type RouteMap = Readonly<Record<string, RouteRequirement>>

interface Route<T> {
  methods: Set<string> | undefined
  segments: readonly string[]
  /** As whoever is not exact compares them. */
  folded: readonly string[]
  /** Asks for nothing. */
  open: boolean
  value: T
}

const METHODS = /^[A-Z]+(,[A-Z]+)*$/

/**
 * Compiles a map of routes. The narrower one counts, whatever the order: a name before `*` before `**`, from the left, and one for some methods before one for all.
 * What asks for something is found by every spelling of its path that some application may take for it; what is public only by the one that was given.
 * @param make what a caller wants to find in place of a route's requirement; `{}` stands for whatever no route names: any good token
 * @throws TypeError for a key that is no route
 */
export function compileRoutes<T>(map: RouteMap, make: (requirement: RouteRequirement) => T): (method: string, path: PlainPath) => T {
  const routes = Object.entries(map).map(([key, requirement]): Route<T> => {
    const parsed = parseRoute(key)
    if (typeof parsed === 'string') throw new TypeError(`${key}: ${parsed}`)
    const folded = parsed.segments.map(fold)
    if (folded.at(-1) === '') folded.pop()
    return { ...parsed, folded, open: requirement.public === true, value: make(requirement) }
  })
  for (const { methods, segments, open } of routes) if (!open && methods?.has('GET') && !saysHead(map, segments)) methods.add('HEAD')
  routes.sort(narrowerFirst)
  const guarded = make({})
  return (method, path) => {
    const found = routes.find((route) => covers(route, method, path))
    return found === undefined ? guarded : found.value
  }
}

/** A route's key, taken apart, or what is wrong with it. */
export function parseRoute(key: string): { methods: Set<string> | undefined; segments: readonly string[] } | string {
  const blank = key.indexOf(' ')
  const methods = blank < 0 ? undefined : key.slice(0, blank)
  const path = key.slice(blank + 1)
  if (methods !== undefined && !METHODS.test(methods)) return 'methods are capital letters, with commas between and one blank after'
  if (path.includes('%') || path.includes('?') || path.includes(';') || readPath(encodeURI(path)) === undefined) {
    return 'a path begins with / and is written as an application reads it: without escapes, parameters, query, dot segments and empty segments'
  }
  const segments = path.slice(1).split('/')
  for (const [index, segment] of segments.entries()) {
    const wild = segment === '*' || (segment === '**' && index === segments.length - 1)
    if (!wild && segment.includes('*')) return '* stands for one whole segment, ** for all that follow, at the end only'
  }
  return { methods: methods === undefined ? undefined : new Set(methods.split(',')), segments }
}

/** HEAD is answered as GET is (RFC 9110 section 9.3.2), by the handler of GET in most applications: what is asked of the one is asked of the other, unless the map says what. */
function saysHead(map: RouteMap, segments: readonly string[]): boolean {
  const path = `/${segments.join('/')}`
  return Object.keys(map).some((key) => key.endsWith(` ${path}`) && key.slice(0, key.indexOf(' ')).split(',').includes('HEAD'))
}

function covers({ methods, segments, folded, open }: Route<unknown>, method: string, { exact, loose }: PlainPath): boolean {
  // A method is spelled in capitals; what is written otherwise may be taken for it.
  if (methods !== undefined && !methods.has(open ? method : method.toUpperCase())) return false
  return open ? matches(segments, exact) : matches(folded, loose)
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  for (const [index, segment] of pattern.entries()) {
    if (segment === '**') return true
    if (index >= path.length || (segment !== '*' && segment !== path[index])) return false
  }
  return pattern.length === path.length
}

function narrowerFirst(a: Route<unknown>, b: Route<unknown>): number {
  for (let index = 0; ; index++) {
    const left = widthOf(a.folded[index])
    const right = widthOf(b.folded[index])
    if (left !== right) return left - right
    if (left === END) return Number(a.methods === undefined) - Number(b.methods === undefined)
  }
}

const END = 2

/** A name, one segment, nothing more, anything more. */
function widthOf(segment: string | undefined): number {
  return segment === undefined ? END : segment === '**' ? 3 : segment === '*' ? 1 : 0
}
