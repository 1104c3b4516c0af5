/** Codes of the server; each is the `code` of a CaegisError and safe to show. */
export const SERVER_ERRORS = {
  actor_revoked: 'The caller lost the right to do this while the request was under way.',
  emergency_account: 'The emergency account is not ended from outside.',
  user_not_found: 'No such user.',
  application_not_found: 'No such application.',
  public_client: 'A public client cannot keep a secret.',
  invalid_certificate: 'That is no certificate in PEM form with an RSA key of 2048 bits or more, or one on P-256.',
  invalid_password: 'The password is too short or too long: 8 to 256 characters.',
  invalid_settings: 'A setting is missing or malformed.',
  invalid_tenant_file: 'The tenant file is not valid.',
  tenant_exists: 'A tenant with that name exists already.',
  tenant_not_found: 'There is no such tenant.',
  tenant_stopped: 'The tenant was stopped by an administrator: nothing is issued until it is resumed.',
  no_data: 'There is no data of a server in that folder.',
  dial_refused: 'The URL leads to where the server does not connect.',
  key_not_found: 'There is no such signing key.',
  busy: 'The server has too much to do at once, or what the request reads keeps changing; try again.',
} as const
