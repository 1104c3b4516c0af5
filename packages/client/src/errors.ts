/** Codes thrown by this package. Errors of the token function and of fetch pass through untouched. */
export const CLIENT_ERRORS = {
  no_access_token: 'The sign-in library answered without an access token.',
} as const
