import { Anchor, Button, CopyButton, Group, Paper, SimpleGrid, Skeleton, Stack, Text } from '@mantine/core'
import { type ReactNode, useEffect, useState } from 'react'
import { Link, useParams } from 'wouter'
import { ApiError } from '../../api/client.ts'
import { type Proof as Told, useProof } from '../../api/proofs.ts'
import { CopyId } from '../../parts/copy.tsx'
import { Empty } from '../../parts/empty.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { Picture } from './picture.tsx'
import { sentencesOf } from './summary.ts'
import { Tiles } from './tiles.tsx'

/** The proof of a revocation, while it comes about: who did what to whom, when each receiver had it, who refused first, and what the client did then. */
export function Proof() {
  const { txn = '' } = useParams<{ txn: string }>()
  const { proof, error, over, retry } = useProof(txn)
  if (error instanceof ApiError && error.status === 404)
    return (
      <Page title={t('proof.title')}>
        <Empty icon="question" title={t('proof.missing.title')} text={t('proof.missing.text')}>
          <CopyId value={txn} label="txn" />
        </Empty>
      </Page>
    )
  return (
    <Page title={t('proof.title')} badge={proof && <Progress proof={proof} />} actions={<Permalink />}>
      {Boolean(error) && <Problem error={error} retry={retry} />}
      {proof ? <Body proof={proof} over={over} /> : !error && <Loading />}
    </Page>
  )
}

function Body({ proof, over }: { proof: Told; over: boolean }) {
  const elapsed = useElapsed(proof, over)
  return (
    <Stack gap="md">
      <Deed proof={proof} />
      <Text fz="lg" role="status" aria-live="polite">
        {sentencesOf(proof).join(' ')}
      </Text>
      <Tiles proof={proof} />
      <Picture proof={proof} elapsed={elapsed} />
      <Group gap="xs">
        <Text size="sm" c="dimmed">
          {t('proof.events', { count: tn('proof.eventCount', proof.events.length) })}
        </Text>
        <CopyId value={proof.txn} label="txn" />
      </Group>
    </Stack>
  )
}

/** Milliseconds since the commit, ticking while somebody has it not. */
function useElapsed(proof: Told, over: boolean): number | undefined {
  const waiting = !over && proof.receivers.some(({ complete }) => !complete)
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    if (!waiting) return
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [waiting])
  return waiting ? Math.max(0, now - Date.parse(proof.committedDateTime)) : undefined
}

function Progress({ proof: { receivers } }: { proof: Told }) {
  const waiting = receivers.filter(({ complete }) => !complete).length
  return waiting === 0 ? <Status tone="good">{t('proof.complete')}</Status> : <Status tone="warn">{tn('proof.waiting', waiting)}</Status>
}

/** Who did what to whom, and when. */
function Deed({ proof }: { proof: Told }) {
  const { subject, activity, initiatedBy, committedDateTime } = proof
  return (
    <Paper withBorder radius="md" p="md">
      <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="md" verticalSpacing="xs">
        <Part label={t('proof.deed.who')}>
          {initiatedBy?.user ? (
            <Anchor component={Link} href={`/users/${initiatedBy.user.id}`}>
              {initiatedBy.user.userPrincipalName || initiatedBy.user.id}
            </Anchor>
          ) : (
            (initiatedBy?.app?.displayName ?? t('proof.deed.unknown'))
          )}
        </Part>
        <Part label={t('proof.deed.what')}>{activity ?? t('proof.deed.unknown')}</Part>
        <Part label={t('proof.deed.whom')}>
          <Subject subject={subject} />
        </Part>
        <Part label={t('proof.deed.when')}>
          <When at={committedDateTime} />
          <Text c="dimmed" size="sm" fw={400}>
            {clock.format(new Date(committedDateTime))}
          </Text>
        </Part>
      </SimpleGrid>
    </Paper>
  )
}

const clock = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })

function Part({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div style={{ minWidth: 0 }}>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text component="div" fw={500} style={{ overflowWrap: 'anywhere' }}>
        {children}
      </Text>
    </div>
  )
}

function Subject({ subject }: { subject: Told['subject'] }) {
  const { kind, id, displayName, userId, userPrincipalName, application, count } = subject
  const places: Partial<Record<typeof kind, string>> = { app: `/applications/${id}`, device: `/devices/${id}` }
  const href = userId && kind !== 'device' ? `/users/${userId}` : places[kind]
  const name = displayName ?? userPrincipalName ?? id
  return (
    <>
      {kind === 'session' && `${t('proof.deed.session')} `}
      {kind === 'grant' && `${t('proof.deed.grant', { name: application?.displayName ?? application?.id ?? '' })} `}
      {kind === 'token' && `${t('proof.deed.token')} `}
      {kind === 'tenant' && count > 1 ? (
        tn('proof.deed.several', count)
      ) : href ? (
        <Anchor component={Link} href={href}>
          {name}
        </Anchor>
      ) : (
        name
      )}
      {userPrincipalName && userPrincipalName !== name && (
        <Text span c="dimmed" size="sm">
          {' '}
          {userPrincipalName}
        </Text>
      )}
    </>
  )
}

function Permalink() {
  return (
    <CopyButton value={location.href.split('#')[0] as string}>
      {({ copied, copy }) => (
        <Button variant="default" leftSection={<Icon name={copied ? 'check' : 'copy'} size={16} />} onClick={copy}>
          {copied ? t('parts.copied') : t('proof.permalink')}
        </Button>
      )}
    </CopyButton>
  )
}

function Loading() {
  return (
    <Stack gap="md" role="status" aria-busy="true" aria-label={t('shell.loading')}>
      <Skeleton height={76} radius="md" />
      <Skeleton height={110} radius="md" />
      <Skeleton height={220} radius="md" />
    </Stack>
  )
}
