import { Button, Paper, Table, Text } from '@mantine/core'
import { useState } from 'react'
import { type Application, type Credential, principalPath } from '../../api/applications.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'
import { AddCredential } from './add-credential.tsx'

type Kind = 'secret' | 'certificate'

/** What the application proves itself with. Texts of secrets are nowhere but in the answer that made them. */
export function Credentials({ application: { appId, displayName, passwordCredentials, keyCredentials } }: { application: Application }) {
  const [adding, setAdding] = useState<Kind>()
  const confirm = useConfirm()
  const write = useWrite()
  const rows = [
    ...passwordCredentials.map((one) => ({ ...one, kind: 'secret' as Kind })),
    ...keyCredentials.map((one) => ({ ...one, kind: 'certificate' as Kind })),
  ]
  const remove = ({ keyId, displayName: name, kind }: Credential & { kind: Kind }) =>
    confirm({
      title: t('applications.credentials.removeTitle', { name }),
      text: t('applications.credentials.removeText', { application: displayName }),
      ...(rows.length === 1 ? { affects: [t('applications.credentials.last')] } : {}),
      action: t('applications.credentials.remove'),
      run: () =>
        write('POST', `${principalPath(appId)}/${kind === 'secret' ? 'removePassword' : 'removeKey'}`, {
          ...{ body: { keyId }, done: t('applications.credentials.removed', { name }), proof: true, changes: ['applications'] },
        }),
    })
  return (
    <Section
      title={t('applications.credentials.title')}
      text={t('applications.credentials.text')}
      actions={
        <>
          <Button variant="default" leftSection={<Icon name="key" />} onClick={() => setAdding('secret')}>
            {t('applications.credentials.addSecret')}
          </Button>
          <Button variant="default" leftSection={<Icon name="plus" />} onClick={() => setAdding('certificate')}>
            {t('applications.credentials.addCertificate')}
          </Button>
        </>
      }
    >
      {rows.length === 0 ? (
        <Text size="sm">{t('applications.credentials.none')}</Text>
      ) : (
        <Paper withBorder radius="md" style={{ overflow: 'hidden' }}>
          <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} role="region" aria-label={t('applications.credentials.title')}>
            <Table verticalSpacing="xs" horizontalSpacing="md" aria-label={t('applications.credentials.title')}>
              <Table.Thead>
                <Table.Tr>
                  {(['name', 'kind', 'expires'] as const).map((name) => (
                    <Table.Th key={name}>{t(`applications.credentials.${name}`)}</Table.Th>
                  ))}
                  <Table.Th ta="right">{t('applications.actions')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rows.map((row) => (
                  <Table.Tr key={row.keyId}>
                    <Table.Td>{row.displayName}</Table.Td>
                    <Table.Td>{t(`applications.credentials.kinds.${row.kind}`)}</Table.Td>
                    <Table.Td>
                      <Expiry at={row.endDateTime} />
                    </Table.Td>
                    <Table.Td ta="right">
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => remove(row)}
                        aria-label={t('applications.credentials.removeOne', { name: row.displayName })}
                      >
                        {t('applications.credentials.remove')}
                      </Button>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        </Paper>
      )}
      <AddCredential appId={appId} kind={adding} close={() => setAdding(undefined)} />
    </Section>
  )
}

function Expiry({ at }: { at: string | null }) {
  if (at === null) return <>{t('applications.credentials.never')}</>
  const isOver = Date.parse(at) <= Date.now()
  return isOver ? (
    <Status tone="bad">
      {t('applications.credentials.expired')} <When at={at} />
    </Status>
  ) : (
    <When at={at} />
  )
}
