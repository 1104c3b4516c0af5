import { Group, Stack, Text } from '@mantine/core'
import { type Provisioning as Found, type LdapState, useProvisioning } from '../../api/organization.ts'
import { Answered } from '../../parts/answered.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Grid } from '../../parts/grid.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { Status, type Tone } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { formatNumber, isText, t, tn } from '../../texts/texts.ts'

/** Where people come from who are not made here. */
export function Provisioning() {
  const provisioning = useProvisioning()
  return (
    <Answered query={provisioning}>
      {({ scim, ldap }) => (
        <Stack gap="md">
          <Scim scim={scim} />
          {ldap ? <Ldap ldap={ldap} /> : <NoLdap />}
        </Stack>
      )}
    </Answered>
  )
}

function Scim({ scim: { endpoint, applications, users, groups, lastWriteDateTime } }: { scim: Found['scim'] }) {
  return (
    <Section title={t('settings.scim.title')} text={t('settings.scim.text')}>
      <Facts
        entries={[
          [t('settings.scim.endpoint'), <CopyId key="endpoint" value={endpoint} label={t('settings.scim.endpoint')} />],
          [t('settings.scim.here'), `${tn('settings.scim.users', users)}, ${tn('settings.scim.groups', groups)}`],
          [t('settings.scim.last'), <When key="last" at={lastWriteDateTime} />],
        ]}
      />
      {applications.length === 0 ? (
        <Text size="sm">{t('settings.scim.none')}</Text>
      ) : (
        <Grid
          label={t('settings.scim.applications')}
          rows={applications}
          rowKey={({ appId }) => appId}
          href={({ appId }) => `/applications/${encodeURIComponent(appId)}`}
          minWidth={560}
          columns={[
            { header: t('settings.scim.application'), cell: (one) => one.displayName },
            {
              header: t('settings.scim.state'),
              cell: (one) => (
                <Status tone={one.enabled && one.permitted ? 'good' : 'quiet'}>
                  {t(!one.enabled ? 'settings.scim.disabled' : one.permitted ? 'settings.scim.permitted' : 'settings.scim.withdrawn')}
                </Status>
              ),
            },
            { header: t('settings.scim.here'), cell: (one) => `${tn('settings.scim.users', one.users)}, ${tn('settings.scim.groups', one.groups)}` },
            { header: t('settings.scim.last'), cell: (one) => <When at={one.lastWriteDateTime} /> },
          ]}
        />
      )}
    </Section>
  )
}

const TONES: Record<LdapState['state'], Tone> = { ok: 'good', failing: 'bad', waiting: 'quiet' }

function Ldap({ ldap }: { ldap: LdapState }) {
  const { name, kind, url, interval, state, lastPassDateTime, lastError, report, users } = ldap
  const counts = Object.entries(report ?? {}).filter(([, value]) => typeof value === 'number') as [string, number][]
  const label = (key: string) => {
    const path = `settings.ldap.report.${key}`
    return isText(path) ? t(path) : key
  }
  return (
    <Section title={t('settings.ldap.title')} text={t('settings.ldap.text')}>
      <Facts
        entries={[
          [
            t('settings.ldap.state'),
            <Status key="state" tone={TONES[state]}>
              {t(`settings.ldap.states.${state}`)}
            </Status>,
          ],
          [t('settings.ldap.name'), `${name} (${kind === 'openldap' ? 'OpenLDAP' : 'Active Directory'})`],
          [t('settings.ldap.url'), url],
          [t('settings.ldap.users'), formatNumber(users)],
          [t('settings.ldap.interval'), tn('settings.ldap.seconds', interval)],
          [t('settings.ldap.last'), <When key="last" at={lastPassDateTime} />],
          ...(lastError
            ? [
                [
                  t('settings.ldap.error'),
                  <span key="error">
                    {lastError.message} (<code>{lastError.code}</code>, <When at={lastError.dateTime} />)
                  </span>,
                ] as const,
              ]
            : []),
        ]}
      />
      {counts.length > 0 && (
        <Stack gap={4}>
          <Text size="sm" fw={600}>
            {t(report?.full ? 'settings.ldap.fullReport' : 'settings.ldap.changeReport')}
          </Text>
          <Group gap="lg">
            {counts.map(([key, value]) => (
              <Text size="sm" key={key}>
                {label(key)}: <b>{formatNumber(value)}</b>
              </Text>
            ))}
          </Group>
        </Stack>
      )}
    </Section>
  )
}

function NoLdap() {
  return (
    <Section title={t('settings.ldap.title')} text={t('settings.ldap.text')}>
      <Text size="sm">{t('settings.ldap.none')}</Text>
    </Section>
  )
}
