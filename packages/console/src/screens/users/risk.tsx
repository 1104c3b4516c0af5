import { Anchor, Button, Group, SimpleGrid, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'wouter'
import type { Page } from '../../api/client.ts'
import { useApi, useList } from '../../api/context.ts'
import type { UserDetail } from '../../api/users.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { Empty } from '../../parts/empty.tsx'
import { quote } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Row, Rows } from '../../parts/rows.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { isText, t } from '../../texts/texts.ts'
import { RiskMark } from './marks.tsx'

interface RiskyUser {
  riskState: string
  riskDetail: string
  riskLastUpdatedDateTime: string
}

interface Detection {
  id: string
  requestId: string
  riskEventType: string
  riskLevel: string
  riskState: string
  detectedDateTime: string
  ipAddress: string
  additionalInfo: string
}

interface HistoryItem {
  id: string
  riskLevel: string
  riskState: string
  riskDetail: string
  riskLastUpdatedDateTime: string
}

/** Whether somebody else may have this account, why it is thought so, and the word of whoever has looked. */
export function Risk({ user }: { user: UserDetail }) {
  return (
    <Stack gap="md">
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
        <State user={user} />
        <History user={user} />
      </SimpleGrid>
      <Section title={t('users.risk.found')} text={t('users.risk.foundText')}>
        <Detections user={user} />
      </Section>
    </Stack>
  )
}

function State({ user }: { user: UserDetail }) {
  const api = useApi()
  const confirm = useConfirm()
  const write = useWrite()
  const name = user.displayName
  const state = useQuery({
    queryKey: ['users', user.id, 'risk'],
    // Of whom nothing was ever thought, there is nothing.
    queryFn: async ({ signal }) => {
      const filter = encodeURIComponent(`id eq ${quote(user.id)}`)
      return (await api.get<Page<RiskyUser>>(`/identityProtection/riskyUsers?$top=1&$filter=${filter}`, { signal })).value[0] ?? null
    },
  })
  const say = (what: 'confirmCompromised' | 'dismiss' | 'confirmSafe') =>
    confirm({
      ...{ title: t(`users.risk.${what}.title`, { name }), text: t(`users.risk.${what}.text`, { name }), action: t(`users.risk.${what}.action`) },
      danger: what === 'confirmCompromised',
      run: () =>
        write('POST', `/identityProtection/riskyUsers/${what}`, {
          ...{ body: { userIds: [user.id] }, done: t(`users.risk.${what}.done`, { name }), proof: true, changes: ['users'] },
        }),
    })
  const isAtRisk = user.riskLevel !== 'none'
  return (
    <Section title={t('users.risk.title')} text={isAtRisk ? t('users.risk.is') : t('users.risk.isNot')}>
      <Answered query={state} rows={2}>
        {(found) => (
          <Facts
            entries={[
              [t('users.risk.level'), <RiskMark key="level" level={user.riskLevel} />],
              ...(found
                ? ([
                    [t('users.risk.state'), words('users.risk.states', found.riskState)],
                    [t('users.risk.detail'), words('users.risk.details', found.riskDetail)],
                    [t('users.risk.since'), <When key="since" at={found.riskLastUpdatedDateTime} />],
                  ] as const)
                : []),
            ]}
          />
        )}
      </Answered>
      <Group gap="xs">
        <Button variant="default" size="xs" onClick={() => say('confirmCompromised')}>
          {t('users.risk.confirmCompromised.open')}
        </Button>
        {isAtRisk && (
          <>
            <Button variant="default" size="xs" onClick={() => say('confirmSafe')}>
              {t('users.risk.confirmSafe.open')}
            </Button>
            <Button variant="default" size="xs" onClick={() => say('dismiss')}>
              {t('users.risk.dismiss.open')}
            </Button>
          </>
        )}
      </Group>
    </Section>
  )
}

function History({ user }: { user: UserDetail }) {
  const api = useApi()
  const history = useQuery({
    queryKey: ['users', user.id, 'risk-history'],
    queryFn: async ({ signal }) => (await api.get<Page<HistoryItem>>(`/identityProtection/riskyUsers/${user.id}/history?$top=10`, { signal })).value,
  })
  return (
    <Section title={t('users.risk.history')}>
      <Answered query={history} rows={2}>
        {(all) =>
          all.length === 0 ? (
            <Text size="sm">{t('users.risk.noHistory')}</Text>
          ) : (
            <Rows>
              {all.map((one) => (
                <Row
                  key={one.id}
                  name={words('users.risk.states', one.riskState)}
                  detail={
                    <>
                      <When at={one.riskLastUpdatedDateTime} /> · {words('users.risk.details', one.riskDetail)}
                    </>
                  }
                >
                  <RiskMark level={one.riskLevel} />
                </Row>
              ))}
            </Rows>
          )
        }
      </Answered>
    </Section>
  )
}

const COLUMNS: Column<Detection>[] = [
  {
    header: t('users.risk.what'),
    cell: ({ riskEventType, additionalInfo }) => (
      <Stack gap={2}>
        <Text size="sm" fw={600}>
          {words('users.risk.types', riskEventType)}
        </Text>
        <Text size="xs" c="dimmed">
          {whyOf(additionalInfo)}
        </Text>
      </Stack>
    ),
  },
  { header: t('users.risk.level'), cell: ({ riskLevel }) => <RiskMark level={riskLevel} /> },
  { header: t('users.risk.state'), cell: ({ riskState }) => words('users.risk.states', riskState) },
  { header: t('users.risk.when'), cell: ({ detectedDateTime }) => <When at={detectedDateTime} />, wide: true },
  {
    header: t('users.risk.signIn'),
    cell: ({ requestId, ipAddress }) =>
      requestId === '' ? (
        ipAddress
      ) : (
        <Anchor component={Link} href={`/sign-ins/${requestId}`} size="sm">
          {ipAddress || t('users.risk.see')}
        </Anchor>
      ),
    wide: true,
  },
]

function Detections({ user }: { user: UserDetail }) {
  const filter = encodeURIComponent(`userId eq ${quote(user.id)}`)
  const list = useList<Detection>(
    ['users', user.id, 'detections'],
    `/identityProtection/riskDetections?$top=20&$orderby=${encodeURIComponent('detectedDateTime desc')}&$filter=${filter}`,
  )
  return (
    <ListTable
      label={t('users.risk.found')}
      columns={COLUMNS}
      list={list}
      rowKey={({ id }) => id}
      minWidth={520}
      empty={<Empty icon="policy" title={t('users.risk.nothing')} text={t('users.risk.nothingText', { name: user.displayName })} />}
    />
  )
}

/** Words of the server that have words of ours; others as they are, apart. */
function words(table: string, word: string): string {
  const key = `${table}.${word}`
  if (isText(key)) return t(key)
  const apart = word.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()
  return apart.charAt(0).toUpperCase() + apart.slice(1)
}

function whyOf(info: string): string {
  try {
    return (JSON.parse(info) as { Key: string; Value: unknown }[]).find(({ Key }) => Key === 'why')?.Value as string
  } catch {
    return ''
  }
}
