/**
 * Since PostgreSQL: statements that both engines take, in the embedded one's types (`text`, `integer`, `real`, `blob`). They run while an earlier version serves: they add,
 * and take nothing away that it reads. Forward only: a migration that has been released is never edited.
 */
export const SCALE: Record<string, readonly string[]> = {
  '0080-leases': [
    'create table nodes (id text primary key not null, until integer not null)',
    'create table leases (name text primary key not null, holder text not null, report text)',
    'create index leases_holder on leases (holder)',
  ],
  '0081-segments': [
    'create table segment_lists (tenant text primary key not null, version integer not null, sealed blob not null)',
    'create table segments (tenant text not null, digest text not null, left_at integer, sealed blob not null, primary key (tenant, digest))',
    'create index segments_left on segments (left_at)',
    'create index segments_digest on segments (digest)',
  ],
  '0084-limits': [
    'create table limits (tenant text not null, key text not null, since integer not null, count integer not null, primary key (tenant, key))',
  ],
  // What was done before counts as the deepest: nothing of it is done again.
  '0085-upstream-depths': ['alter table upstream_acts add column depth integer not null default 3'],
}
