import { CaegisError } from '@caegis/protocol'

/** Codes thrown by the receiver. */
export const RECEIVER_ERRORS = {
  unavailable: 'The transmitter could not be reached.',
  unauthorized: 'The transmitter does not accept the access token.',
  token_refused: 'The client got no access token: check its id and secret, and how the token endpoint takes them.',
  request_refused: 'The transmitter refused the request.',
  answer_malformed: 'The answer of the transmitter is malformed.',
  answer_too_large: 'The answer of the transmitter is too large.',
  metadata_refused: 'The transmitter metadata cannot be used.',
  stream_refused: 'The stream that the transmitter made is not the one asked for.',
  stream_gone: 'The transmitter does not know the stream any more.',
  not_started: 'The receiver has no stream.',
  verification_failed: 'The verification event did not come back.',
  handler_timeout: 'The handler of an event did not end in time.',
  set_refused: 'The Security Event Token is not acceptable.',
  snapshot_refused: 'The snapshot is not acceptable.',
  out_of_sync: 'The stream is out of sync with the log of the transmitter.',
} as const

export type ReceiverErrorCode = keyof typeof RECEIVER_ERRORS

/** What a failure was, in words that hold nothing from outside but what this project's own errors say. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof CaegisError)) return 'an error of another kind'
  return typeof error.detail === 'string' ? `${error.code}: ${error.detail}` : error.code
}

export function failure(code: ReceiverErrorCode, detail?: unknown, cause?: unknown): CaegisError {
  return new CaegisError(code, RECEIVER_ERRORS[code], { detail, cause })
}
