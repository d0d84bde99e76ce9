import { visitorsAt } from '../model/admission.ts';
import { Icon } from '../parts/Icon.tsx';
import { useNow } from '../parts/use-now.ts';
import { saveFile } from '../save.ts';
import { run } from '../store/commands.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { say, useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { CertificateList } from './CertificateList.tsx';
import { Room } from './Room.tsx';
import { VisitorList } from './VisitorList.tsx';

const lists = ['certificates', 'visitors'] as const;

/** Who may come in: the certificates that were issued, and visitors who earned one at an access point. */
export function CredentialsView() {
  const shown = useUi((ui) => ui.credentialList);
  const show = useUi((ui) => ui.list);
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const visitors = useCollection('visitors');
  const inside = visitorsAt(visitors, useNow(10_000)).filter(({ revokedAt }) => revokedAt === null).length;

  const exportTrust = async () => {
    const answer = await run('credential.trust', {});
    if (!answer) return;
    saveFile('move-trust.pem', 'application/x-pem-file', answer.trustPem);
    saveFile('move-revoked.crl.pem', 'application/x-pem-file', answer.revocationListPem);
    say('good', text.credential.trustDone);
  };

  return (
    <Room
      title={text.credential.title}
      actions={
        <>
          <button type="button" className="button" disabled={!mayAct} onClick={() => void exportTrust()}>
            <Icon name="download" size={16} />
            {text.credential.trust}
          </button>
          <button type="button" className="button" disabled={!mayAct} onClick={() => open({ kind: 'sign' })}>
            {text.credential.sign.title}
          </button>
          <button
            type="button"
            className="button primary"
            disabled={!mayAct}
            onClick={() => open({ kind: 'issue' })}
          >
            {text.credential.issue}
          </button>
        </>
      }
    >
      <div className="segments lists" role="radiogroup" aria-label={text.visitors.listsLabel}>
        {lists.map((list) => (
          <label key={list}>
            <input type="radio" name="credential-list" checked={shown === list} onChange={() => show(list)} />
            <span>
              {text.visitors.lists[list]}
              {list === 'visitors' && ` (${inside})`}
            </span>
          </label>
        ))}
      </div>
      {shown === 'certificates' ? <CertificateList /> : <VisitorList />}
    </Room>
  );
}
