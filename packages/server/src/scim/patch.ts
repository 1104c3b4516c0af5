import { type ScimPatchOperation, type ScimResource, scimPatch } from 'scim-patch'
import type { Filter } from 'scim2-parse-filter'
import { z } from 'zod'
import { ScimError } from './errors.ts'
import { invalid, parsed } from './filter.ts'
import { isObject, named, type Path, parsePath, readValue, type Shape } from './resource.ts'

/** One operation, on an attribute that is known. */
export interface Operation extends Path {
  op: 'add' | 'replace' | 'remove'
  value?: unknown
}

const MOST_OPERATIONS = 1000
/** What is added is compared with everything that is there: their number counts twice. */
const MOST_VALUES = 1000

const request = z.object({
  schemas: z.array(z.string()).refine((all) => all.includes('urn:ietf:params:scim:api:messages:2.0:PatchOp')),
  Operations: z
    .array(
      z.object({
        op: z
          .string()
          .transform((op) => op.toLowerCase())
          .pipe(z.enum(['add', 'replace', 'remove'])),
        path: z.string().max(1024).optional(),
        value: z.unknown().optional(),
      }),
    )
    .min(1)
    .max(MOST_OPERATIONS),
})

/**
 * What a PATCH asks for (RFC 7644 section 3.5.2), one operation for each attribute: a value without a path says several at once, and its members may be paths
 * themselves. What names an attribute that is not known is left out.
 * @throws ScimError
 */
export function readPatch(shape: Shape, body: unknown): Operation[] {
  const read = request.safeParse(body)
  if (!read.success) throw new ScimError(400, 'The body must be a PatchOp with at most 1000 operations.', 'invalidSyntax')
  const operations = read.data.Operations.flatMap(({ op, path, value }) => {
    if (path !== undefined && path !== '') return operation(shape, op, path, value)
    if (op === 'remove') throw new ScimError(400, 'remove needs a path.', 'noTarget')
    if (!isObject(value)) throw new ScimError(400, 'Without a path the value must be an object.', 'invalidValue')
    return Object.entries(value).flatMap(([key, one]) => operation(shape, op, key, one))
  })
  if (operations.length > MOST_OPERATIONS) throw new ScimError(400, 'The operations name too many attributes.', 'invalidValue')
  return operations
}

function operation(shape: Shape, op: Operation['op'], text: string, value: unknown): Operation[] {
  const path = parsePath(shape, text)
  if (!path) return []
  checkFilter(shape, path)
  if (op === 'remove' || value === null) return [{ op: 'remove', ...path, ...(op === 'remove' ? { value } : {}) }]
  if (value === undefined) throw new ScimError(400, 'An operation has no value.', 'invalidValue')
  return [{ op, ...path, value: path.sub === undefined ? readValue(shape, path.attribute, value) : value }]
}

/** Values are chosen by what they have, and by nothing that every object has. */
function checkFilter({ attributes }: Shape, { attribute, filter }: Path): void {
  if (filter === undefined) return
  const check = (one: Filter): void => {
    if ('filters' in one) one.filters.forEach(check)
    else if (one.op === 'not') check(one.filter)
    else if (one.op === '[]' || named(attributes[attribute] as readonly string[], one.attrPath) === undefined)
      throw invalid('A path chooses by an attribute that is not known.')
  }
  check(parsed(filter))
}

/** The attributes as they are after the operations. @throws ScimError */
export function applyPatch(resource: Readonly<Record<string, unknown>>, operations: readonly Operation[]): Record<string, unknown> {
  const values = operations.reduce((sum, { value }) => sum + (Array.isArray(value) ? value.length : 1), 0)
  if (values > MOST_VALUES) throw new ScimError(400, 'The operations have too many values.', 'invalidValue')
  const patches = operations.map(({ op, attribute, filter, sub, value }) => ({
    ...{ op, path: `${attribute}${filter === undefined ? '' : `[${filter}]`}${sub === undefined ? '' : `.${sub}`}` },
    ...(value === undefined ? {} : { value }),
  })) as ScimPatchOperation[]
  try {
    return scimPatch(resource as unknown as ScimResource, patches, { mutateDocument: false, treatMissingAsAdd: true }) as unknown as Record<
      string,
      unknown
    >
  } catch (error) {
    // Whatever it stumbles over is in the operations: the resource is ours.
    const noTarget = (error as { scimCode?: string }).scimCode === 'noTarget'
    throw noTarget
      ? new ScimError(400, 'A path chooses values that are not there.', 'noTarget')
      : new ScimError(400, 'An operation does not fit its attribute.', 'invalidValue')
  }
}
