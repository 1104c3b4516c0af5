import { CaegisError } from '@caegis/protocol'

/**
 * PostgreSQL stores no NUL character, and nobody means one. It is refused on both engines alike, wherever it was hidden (a form, JSON, a token's claims): whoever sent it is
 * told so, as of any other mistake in a request.
 * @throws CaegisError `invalid_text`, which HTTP servers answer with 400
 */
export function refuseNul(parameters: readonly unknown[]): void {
  for (const value of parameters) {
    if (typeof value === 'string' && value.includes('\0'))
      throw Object.assign(new CaegisError('invalid_text', 'invalid_request'), {
        ...{ statusCode: 400, status: 400, expose: true },
        error_description: 'A text holds a NUL character.',
      })
  }
}
