/** What a receiver may say about a SET that it cannot accept (RFC 8935 section 2.4, SSF 1.0 section 8.1.4): shared by push and poll. */
export const SET_ERRORS = {
  invalid_request: 'The request is not an acceptable Security Event Token.',
  invalid_key: 'The key or algorithm that signed the SET is not acceptable.',
  invalid_issuer: 'The issuer is not the transmitter of this stream.',
  invalid_audience: 'The audience does not name this receiver.',
  authentication_failed: 'The transmitter could not be authenticated.',
  access_denied: 'The transmitter may not speak about this subject here.',
  invalid_state: 'The state is not one that this receiver asked for.',
} as const

export type SetErrorCode = keyof typeof SET_ERRORS

export interface SetError {
  err: SetErrorCode
  description: string
}

export function setError(err: SetErrorCode): SetError {
  return { err, description: SET_ERRORS[err] }
}

/** The detail of a refusal when the newest keys of the transmitter do not verify a SET. */
export const NO_KEY = 'no key of the transmitter verifies it'
/** The same, but the budget did not allow to look for newer ones: nothing final can be said yet. */
export const NO_KEY_YET = 'no key of the transmitter that is known so far verifies it'

/** What a refusal of the verifier means to the transmitter. */
export function setErrorOf(detail: unknown): SetError {
  if (detail === 'iss') return setError('invalid_issuer')
  if (detail === 'aud') return setError('invalid_audience')
  if (detail === 'alg' || detail === NO_KEY || detail === NO_KEY_YET) return setError('invalid_key')
  return setError('invalid_request')
}
