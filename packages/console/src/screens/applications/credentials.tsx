import { Button, Text } from '@mantine/core'
import { useState } from 'react'
import { type Application, type Credential, principalPath } from '../../api/applications.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Grid } from '../../parts/grid.tsx'
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
        <Grid
          label={t('applications.credentials.title')}
          rows={rows}
          rowKey={({ keyId }) => keyId}
          minWidth={560}
          columns={[
            { header: t('applications.credentials.name'), cell: (row) => row.displayName },
            { header: t('applications.credentials.kind'), cell: (row) => t(`applications.credentials.kinds.${row.kind}`) },
            { header: t('applications.credentials.expires'), cell: (row) => <Expiry at={row.endDateTime} /> },
            {
              header: t('applications.actions'),
              right: true,
              cell: (row) => (
                <Button
                  size="compact-sm"
                  variant="light"
                  color="red"
                  onClick={() => remove(row)}
                  aria-label={t('applications.credentials.removeOne', { name: row.displayName })}
                >
                  {t('applications.credentials.remove')}
                </Button>
              ),
            },
          ]}
        />
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
