import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'

/** What many servers over one database need of each other. Forward only: a migration that has been released is never edited. */
export const SCALE: Record<string, Migration> = {
  '0080-leases': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'create table nodes (id text primary key not null, until bigint not null)',
        'create table leases (name text primary key not null, holder text not null, report text)',
        'create index leases_holder on leases (holder)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
  '0081-segments': {
    async up(db: Kysely<unknown>): Promise<void> {
      for (const statement of [
        'create table segment_lists (tenant text primary key not null, version bigint not null, sealed bytea not null)',
        'create table segments (tenant text not null, digest text not null, left_at bigint, sealed bytea not null, primary key (tenant, digest))',
        'create index segments_left on segments (left_at)',
        'create index segments_digest on segments (digest)',
      ]) {
        await sql.raw(statement).execute(db)
      }
    },
  },
}
