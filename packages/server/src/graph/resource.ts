import type { Column, Condition, Order, Positioned } from '../directory/listing.ts'
import { badRequest } from './errors.ts'

/** One property of a resource: what it says, and what may be asked of it. */
export interface Property<T> {
  read(of: T): unknown
  /** Absent: it can only be selected. Its type decides which operators there are. */
  column?: Column
  sort?: true
  /** `words`: $search finds the beginning of any word of it; `start`: only of the whole. */
  search?: 'words' | 'start'
  /** What is returned when nothing is selected. */
  usual?: true
  /** JSON schema of its value, for the OpenAPI document. */
  schema?: object
}

/** Everything that queries may say about one kind of object, and nothing else may be said. */
export interface Resource<T> {
  /** Graph's name of the type: `user`. */
  type: string
  /** Of the collection: `users`. */
  set: string
  properties: Readonly<Record<string, Property<T>>>
  /** Said with each object where a list holds several kinds. */
  typeOf?: (of: T) => string
}

/** What is known of a resource, whatever its objects are. */
export type AnyResource = Pick<Resource<never>, 'type' | 'set'> & {
  properties: Readonly<Record<string, Pick<Property<never>, 'usual' | 'schema' | 'column'>>>
}

/** @throws GraphError 400 */
export function propertyOf<T>({ type, properties }: Resource<T>, name: string): Property<T> {
  if (!Object.hasOwn(properties, name)) throw badRequest(`Could not find a property named '${name.slice(0, 40)}' on type 'microsoft.graph.${type}'.`)
  return properties[name] as Property<T>
}

/** Names of the properties to show. @throws GraphError 400 */
export function parseSelect<T>(resource: Resource<T>, text: string | null): string[] {
  if (text === null) return Object.keys(resource.properties).filter((name) => resource.properties[name]?.usual)
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) propertyOf(resource, name)
  return names
}

/** @throws GraphError 400 */
export function parseOrder<T>(resource: Resource<T>, text: string): Order[] {
  const orders = text.split(',').map((part): Order => {
    const [, name = '', direction] = part.match(/^\s*(\w{1,64})(?:\s+(asc|desc))?\s*$/) ?? []
    const { column, sort } = name === '' ? {} : propertyOf(resource, name)
    if (!column || !sort) throw badRequest(`$orderby understands: ${named(resource, ({ sort }) => sort)}, each followed by asc or desc.`)
    return { column, descending: direction === 'desc' }
  })
  if (new Set(orders.map(({ column }) => column.name)).size !== orders.length) throw badRequest('$orderby names a property twice.')
  return orders
}

/** `"property:text"`, several of them joined by AND or OR, which binds them from left to right. @throws GraphError 400 */
export function parseSearch<T>(resource: Resource<T>, text: string): Condition {
  const wrong = () => badRequest(`$search understands: "property:text" of ${named(resource, ({ search }) => search)}, joined by AND or OR.`)
  if (text.length > MOST_SEARCH) throw wrong()
  let found: Condition | undefined
  let rest = text.trim()
  for (let joined: string | undefined = ''; joined !== undefined; ) {
    const [whole, clause = ''] = rest.match(/^"((?:[^"\\]|\\["\\])*)"\s*/) ?? []
    if (whole === undefined) throw wrong()
    const [, name = '', value = ''] = clause.replace(/\\(.)/g, '$1').match(/^(\w+):(.+)$/s) ?? []
    const { column, search } = name === '' ? {} : propertyOf(resource, name)
    if (!column || !search) throw wrong()
    const term: Condition = { is: search === 'words' ? 'word' : 'starts', column, value }
    found = found ? { is: joined === 'OR' ? 'or' : 'and', terms: [found, term] } : term
    rest = rest.slice(whole.length)
    joined = rest.match(/^(AND|OR)\s+/)?.[1]
    rest = joined ? rest.slice(joined.length).trimStart() : rest
  }
  if (rest !== '' || !found) throw wrong()
  return found
}

const MOST_SEARCH = 1024

export function named<T>({ properties }: Resource<T>, which: (property: Property<T>) => unknown): string {
  return Object.keys(properties)
    .filter((name) => which(properties[name] as Property<T>))
    .join(', ')
}

/** The object as it is answered. */
export function shape<T>({ properties, typeOf }: Resource<T>, select: readonly string[], of: T): Record<string, unknown> {
  return {
    ...('position' in Object(of) ? { '@odata.etag': etagOf((of as Positioned).position as number) } : {}),
    ...(typeOf ? { '@odata.type': `#microsoft.graph.${typeOf(of)}` } : {}),
    ...Object.fromEntries(select.map((name) => [name, properties[name]?.read(of)])),
  }
}

/** Says which state of an object was read; weak, because what is shown of it differs. */
export function etagOf(position: number): string {
  return `W/"${position}"`
}

/** Seconds as Graph writes them. */
export function toTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`
}
