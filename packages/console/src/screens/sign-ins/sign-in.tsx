import { Alert, Anchor, Grid, Group, Skeleton, Stack } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useCallback } from 'react'
import { Link, useParams } from 'wouter'
import { useLive } from '../../api/live.tsx'
import { detailOf, OUTCOME_TONES, type SignIn, useSignIn, whoOf } from '../../api/sign-ins.ts'
import { CopyId } from '../../parts/copy.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { isText, t, tn } from '../../texts/texts.ts'
import { apiOf, OutcomeMark } from './outcome.tsx'
import { Policies } from './policies.tsx'

const COLORS = { good: 'green', bad: 'red', warn: 'orange', quiet: 'gray', info: 'blue' } as const

/** One decision: who and what it was about, what every policy said, and what was given out. */
export function SignInDetail() {
  const { id = '' } = useParams<{ id: string }>()
  const queries = useQueryClient()
  const found = useSignIn(id)
  useLive(
    ['signIns'],
    useCallback(
      (event, data) => {
        // What was decided on a page is completed when its token is given out.
        if (event === 'signIn' && (data as SignIn).id === id) queries.setQueryData(['signIn', id], data)
      },
      [queries, id],
    ),
  )
  const one = found.data
  return (
    <Page title={one ? t('signIns.of', { who: whoOf(one) || t('signIns.unknown') }) : t('signIns.one')} badge={one && <OutcomeMark signIn={one} />}>
      <Anchor component={Link} href="/sign-ins" size="sm">
        {t('signIns.all')}
      </Anchor>
      {found.error && !one ? (
        <Problem error={found.error} retry={() => void found.refetch()} />
      ) : one ? (
        <Record one={one} />
      ) : (
        <Skeleton height={320} radius="md" role="status" aria-label={t('shell.loading')} />
      )}
    </Page>
  )
}

function Record({ one }: { one: SignIn }) {
  const color = COLORS[OUTCOME_TONES[one.outcome]]
  const meaning = t(`signIns.meaning.${one.outcome}`)
  const count = one.aggregatedSignInCount ?? 1
  const more = [
    ...(one.status.errorCode === 0 ? [] : [meaning, t('signIns.code', { code: one.status.errorCode })]),
    ...(count > 1 ? [tn('signIns.folded', count)] : []),
  ].join(' ')
  return (
    <Stack gap="md">
      <Alert
        color={color}
        variant="light"
        icon={<Icon name={one.outcome === 'allowed' ? 'check' : 'warning'} />}
        title={one.status.failureReason || meaning}
      >
        {more || null}
      </Alert>
      <Grid gap="md">
        <Grid.Col span={{ base: 12, lg: 7 }}>
          <Policies policies={one.appliedConditionalAccessPolicies} />
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 5 }}>
          <Stack gap="md">
            <About one={one} />
            <Whence one={one} />
            <Token one={one} />
          </Stack>
        </Grid.Col>
      </Grid>
    </Stack>
  )
}

function About({ one }: { one: SignIn }) {
  const grant = `signIns.grants.${detailOf(one, 'Grant') ?? ''}`
  const way = t(one.isInteractive ? 'signIns.interactive' : one.servicePrincipalName ? 'signIns.service' : 'signIns.silent')
  return (
    <Section title={t('signIns.about')}>
      <Facts
        entries={[
          [
            t('signIns.who'),
            one.userId ? (
              <Lead key="who" to={`/users/${one.userId}`}>
                {one.userPrincipalName}
              </Lead>
            ) : (
              whoOf(one) || t('signIns.unknownText')
            ),
          ],
          [
            t('signIns.application'),
            one.appId ? (
              <Lead key="app" to={`/applications/${encodeURIComponent(one.appId)}`}>
                {one.appDisplayName || one.appId}
              </Lead>
            ) : (
              t('signIns.none')
            ),
          ],
          [t('signIns.api'), apiOf(one) || t('signIns.noApi')],
          [t('signIns.how'), isText(grant) ? `${way} (${t(grant)})` : way],
          [t('signIns.when'), <When key="when" at={one.createdDateTime} />],
          [t('signIns.number'), <CopyId key="number" value={one.correlationId} label={t('signIns.number')} />],
        ]}
      />
    </Section>
  )
}

function Whence({ one }: { one: SignIn }) {
  const { deviceId, displayName, isCompliant } = one.deviceDetail
  return (
    <Section title={t('signIns.where')}>
      <Facts
        entries={[
          [t('signIns.issuerAddress'), one.ipAddress || t('signIns.unknownAddress')],
          [t('signIns.apiAddress'), one.ipAddressFromResourceProvider || t('signIns.sameAddress')],
          [
            t('signIns.device'),
            deviceId ? (
              <Group key="device" gap="xs">
                <Lead to={`/devices/${encodeURIComponent(deviceId)}`}>{displayName || deviceId}</Lead>
                <Status tone={isCompliant ? 'good' : 'quiet'}>{t(isCompliant ? 'signIns.compliant' : 'signIns.notCompliant')}</Status>
              </Group>
            ) : (
              t('signIns.noDevice')
            ),
          ],
          [t('signIns.risk'), <Risk key="risk" one={one} />],
          ...(one.sessionId ? ([[t('signIns.session'), <CopyId key="session" value={one.sessionId} label={t('signIns.session')} />]] as const) : []),
        ]}
      />
    </Section>
  )
}

function Token({ one }: { one: SignIn }) {
  const expires = detailOf(one, 'Token expires')
  const long = detailOf(one, 'Is CAE Token') === 'True'
  if (!one.uniqueTokenIdentifier) return <Section title={t('signIns.token')} text={t('signIns.noToken')} />
  return (
    <Section title={t('signIns.token')}>
      <Facts
        entries={[
          [t('signIns.kind'), t(long ? 'signIns.longLived' : 'signIns.ordinary')],
          [t('signIns.cae'), t(long ? 'signIns.caeOn' : 'signIns.caeOff')],
          [t('signIns.expires'), expires ? <When key="expires" at={expires} /> : t('signIns.notKept')],
          ...one.sessionLifetimePolicies.map(({ detail }) => [t('signIns.lifetime'), detail] as const),
          [t('signIns.tokenId'), <CopyId key="token" value={one.uniqueTokenIdentifier} label={t('signIns.tokenId')} />],
        ]}
      />
    </Section>
  )
}

function Lead({ to, children }: { to: string; children: ReactNode }) {
  return (
    <Anchor component={Link} href={to} inherit>
      {children}
    </Anchor>
  )
}

function Risk({ one }: { one: SignIn }) {
  const level = `signIns.risks.${one.riskLevelDuringSignIn}`
  return (
    <>
      {isText(level) ? t(level) : one.riskLevelDuringSignIn}
      {one.riskEventTypes_v2.length > 0 && ` (${one.riskEventTypes_v2.join(', ')})`}
    </>
  )
}
