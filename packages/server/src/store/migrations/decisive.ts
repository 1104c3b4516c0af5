/** Columns that every deciding row has; see `Decisive` in schema.ts. */
export const DECISIVE = `version integer not null default 1, valid_from integer not null default 0, access_from integer not null default 0,
  last_iat integer not null default 0, tokens_until integer not null default 0`
