import { createHash } from 'node:crypto'
import { ScimError } from './errors.ts'

export const USER_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:User'
export const GROUP_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:Group'

/** The attributes of a resource that clients write, and what each is made of. */
export interface Shape {
  schema: string
  attributes: Readonly<Record<string, readonly string[]>>
}

export interface Represented {
  schemas: string[]
  id: string
  meta: { resourceType: string; location: string; created: string; version?: string }
  [attribute: string]: unknown
}

export interface Path {
  attribute: string
  filter?: string
  sub?: string
}

/** RFC 7644 section 3.5.2, figure 7: an attribute, which of its values, and a part of it. */
const PATH = /^([a-z$][\w$-]*)(?:\[(.{1,512})\])?(?:\.([a-z$][\w$-]*))?$/i

/**
 * What a path names, spelt as the schema does: names have no case (RFC 7643 section 2.1).
 * @returns `undefined` for what this server does not know and therefore ignores
 * @throws ScimError `invalidPath`
 */
export function parsePath({ schema, attributes }: Shape, text: string): Path | undefined {
  const local = text.toLowerCase().startsWith(`${schema.toLowerCase()}:`) ? text.slice(schema.length + 1) : text
  if (/^urn:/i.test(local)) return undefined
  const [, name = '', filter, part] = local.match(PATH) ?? []
  if (name === '') throw new ScimError(400, 'A path is malformed.', 'invalidPath')
  const attribute = named(Object.keys(attributes), name)
  if (attribute === undefined) return undefined
  const subs = attributes[attribute] as readonly string[]
  if ((part !== undefined || filter !== undefined) && subs.length === 0) throw new ScimError(400, `${attribute} has no parts.`, 'invalidPath')
  const sub = part === undefined ? undefined : named(subs, part)
  if (part !== undefined && sub === undefined) return undefined
  return { attribute, ...(filter === undefined ? {} : { filter }), ...(sub === undefined ? {} : { sub }) }
}

export function named(names: readonly string[], name: string): string | undefined {
  return names.find((one) => one.toLowerCase() === name.toLowerCase())
}

/** A body with the attributes that are known, spelt as the schema does, and no others. @throws ScimError `invalidSyntax` */
export function readBody(shape: Shape, body: unknown): Record<string, unknown> {
  if (!isObject(body)) throw new ScimError(400, 'The body must be a JSON object.', 'invalidSyntax')
  return Object.fromEntries(
    Object.entries(body).flatMap(([key, value]) => {
      const attribute = named(Object.keys(shape.attributes), key)
      return attribute === undefined ? [] : [[attribute, readValue(shape, attribute, value)]]
    }),
  )
}

export function readValue({ attributes }: Shape, attribute: string, value: unknown): unknown {
  const subs = attributes[attribute] as readonly string[]
  if (subs.length === 0) return value
  if (Array.isArray(value)) return value.map((one) => readParts(subs, one))
  return readParts(subs, value)
}

function readParts(subs: readonly string[], value: unknown): unknown {
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, part]) => {
      const sub = named(subs, key)
      return sub === undefined ? [] : [[sub, part]]
    }),
  )
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** With the version of what it says (RFC 7644 section 3.14): two that read the same are the same. */
export function withVersion(resource: Represented): Represented & { meta: { version: string } } {
  const version = `W/"${createHash('sha256').update(JSON.stringify(resource)).digest('base64url').slice(0, 22)}"`
  return { ...resource, meta: { ...resource.meta, version } }
}

/** Whether one of the versions in `If-Match` or `If-None-Match` is this one. */
export function matches(header: string, version: string): boolean {
  const bare = (tag: string) => tag.trim().replace(/^W\//, '')
  return header.trim() === '*' || header.split(',').some((tag) => bare(tag) === bare(version))
}

/** Which attributes an answer has. */
export interface Selection {
  only?: readonly string[]
  without?: readonly string[]
}

/** `attributes` and `excludedAttributes` (RFC 7644 section 3.9). @throws ScimError `invalidValue` */
export function readSelection(schema: string, search: URLSearchParams): Selection {
  const names = (parameter: string) =>
    search
      .get(parameter)
      ?.slice(0, 2048)
      .split(',')
      .map((name) => name.trim().toLowerCase())
      .map((name) => (name.startsWith(`${schema.toLowerCase()}:`) ? name.slice(schema.length + 1) : name))
  const [only, without] = [names('attributes'), names('excludedAttributes')]
  if (only && without) throw new ScimError(400, 'Either attributes or excludedAttributes, not both.', 'invalidValue')
  return { ...(only ? { only } : {}), ...(without ? { without } : {}) }
}

/** Always there, whatever is asked for. */
const ALWAYS = ['schemas', 'id']

export function select(resource: Represented, { only, without }: Selection): Record<string, unknown> {
  if (!only && !without) return resource
  const keeps = (name: string) => (only ? only.includes(name.toLowerCase()) : !without?.includes(name.toLowerCase()))
  const pick = (value: unknown, prefix: string): unknown => {
    if (Array.isArray(value)) return value.map((one) => pick(one, prefix))
    if (!isObject(value)) return only ? undefined : value
    const parts = Object.entries(value).filter(([part]) => keeps(`${prefix}.${part}`))
    return parts.length > 0 ? Object.fromEntries(parts) : undefined
  }
  const entries = Object.entries(resource).flatMap(([name, value]) => {
    if (ALWAYS.includes(name) || (only && keeps(name))) return [[name, value]]
    if (!only && !keeps(name)) return []
    const left = pick(value, name)
    return left === undefined || (Array.isArray(left) && left.every((one) => one === undefined)) ? [] : [[name, left]]
  })
  return Object.fromEntries(entries)
}
