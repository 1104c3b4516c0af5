/** Codes of the command line. */
export const CLI_ERRORS = {
  not_signed_in: 'You are not signed in. Run: caegis login --tenant <name>',
  refused: 'The server refused.',
  unknown_tenant: 'The server has no such tenant.',
  tenant_stopped: 'The tenant is stopped: nobody can sign in until it is resumed.',
  other_tenant: 'You are signed in to another tenant.',
  not_confirmed: 'Nothing was done.',
  token_in_sight: 'A token does not belong into a command line, which others can see: give it on standard input, or only its id (jti).',
  unknown_policy: 'There is no policy of that name or id.',
  invalid_cases: 'These cases cannot be run:',
  invalid_file: 'The file cannot be applied:',
  invalid_gateway: 'The gateway cannot start like this.',
  invalid_credentials: 'The credentials of the environment cannot be used:',
  invalid_routes: 'The map of routes cannot be read:',
  no_token: 'There is no token on standard input.',
} as const
