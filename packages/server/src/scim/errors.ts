import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'

/** RFC 7644 section 3.12, table 9. */
export type ScimType = 'invalidFilter' | 'uniqueness' | 'mutability' | 'invalidSyntax' | 'invalidPath' | 'noTarget' | 'invalidValue'

/** A refusal as SCIM says it; the detail is for the client's administrator and holds nothing secret. */
export class ScimError extends Error {
  readonly status: number
  readonly scimType: ScimType | undefined

  constructor(status: number, detail: string, scimType?: ScimType) {
    super(detail)
    this.name = 'ScimError'
    this.status = status
    this.scimType = scimType
  }
}

export const notFound = () => new ScimError(404, 'There is no such resource.')
export const invalidValue = (detail: string) => new ScimError(400, detail, 'invalidValue')

export function errorBody(status: number, detail: string, scimType?: ScimType) {
  return { schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'], status: String(status), ...(scimType ? { scimType } : {}), detail }
}

const STATUS: Partial<Record<string, [number, ScimType?]>> = {
  user_not_found: [404],
  group_not_found: [404],
  user_exists: [409, 'uniqueness'],
  group_exists: [409, 'uniqueness'],
  invalid_password: [400, 'invalidValue'],
  last_admin: [400, 'mutability'],
  administrator: [403],
  emergency_account: [403],
  actor_revoked: [403],
  busy: [503],
  overloaded: [429],
  store_unavailable: [503],
}

/** What went wrong, as far as the client may know. */
export function toScimError(error: Error & { statusCode?: number }): ScimError {
  if (error instanceof ScimError) return error
  if (error instanceof CaegisError) {
    const [status, scimType] = STATUS[error.code] ?? [500]
    if (status !== 500) return new ScimError(status, error.code === 'store_unavailable' ? SERVER_ERRORS.store_unavailable : error.message, scimType)
  }
  const status = error.statusCode ?? 500
  if (status === 413) return new ScimError(413, 'The body is too large.')
  if (status >= 400 && status < 500) return new ScimError(status, 'The request could not be read.', 'invalidSyntax')
  return new ScimError(500, 'The server failed. What happened is in its log.')
}
